/* KV_WRITE: keys or values of new rows into their places in a paged cache. */
#include "convert.h"

void INK_NAME(ink_kv_write)(const ink_step *step, const ink_worker *worker) {
  const ink_tensor *cache = step->input[0], *x = step->input[1];
  const int32_t *slots = step->input[2]->data;
  const int64_t pages = cache->dim[0], groups = cache->dim[1], page_size = cache->dim[2], width = cache->dim[3];
  int64_t from, to;
  ink_share(worker, x->dim[0] * groups, 1, &from, &to);
  for (int64_t unit = from; unit < to; unit++) {
    const int64_t slot = slots[unit / groups], group = unit % groups;
    if (slot < 0 || slot / page_size >= pages) continue;
    const int64_t at = ((slot / page_size * groups + group) * page_size + slot % page_size) * width;
    const float *row = (const float *)x->data + unit * width;
    if (cache->dtype == INK_F16) ink_narrow_f16(row, (uint16_t *)cache->data + at, width);
    else if (width) memcpy((float *)cache->data + at, row, (size_t)width * sizeof(float));
  }
}
