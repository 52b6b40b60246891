"""Small weight files written by the field's own packages, and what they hold: test/golden/weights.

Usage: python make_weights.py --out DIR   (needs torch, safetensors, gguf, numpy). Not part of `npm test`."""

import argparse
import json
import os

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

parser = argparse.ArgumentParser()
parser.add_argument('--out', required=True)
out = parser.parse_args().out
os.makedirs(out, exist_ok=True)
torch.manual_seed(1)
expected = {}


def facts(tensors):
    return {
        name: {
            'dtype': str(t.dtype).removeprefix('torch.'),
            'shape': list(t.shape),
            'values': [float(v) for v in t.detach().double().reshape(-1)],
        }
        for name, t in tensors.items()
    }


every = {
    'f64': torch.randn(2, 3, dtype=torch.float64),
    'f32': torch.randn(2, 3),
    'f16': torch.randn(5).half(),
    'bf16': torch.randn(5).bfloat16(),
    'i8': torch.tensor([-128, 127, 0], dtype=torch.int8),
    'i16': torch.tensor([-32768, 32767], dtype=torch.int16),
    'i32': torch.tensor([-2147483648, 5], dtype=torch.int32),
    'i64': torch.tensor([1 << 40, -3], dtype=torch.int64),
    'u8': torch.tensor([255, 0], dtype=torch.uint8),
    'bool': torch.tensor([True, False, True]),
    'scalar': torch.tensor(2.5),
    'empty': torch.zeros(0, 4),
}
late = {
    'u16': torch.tensor([65535, 1], dtype=torch.uint16),
    'f8_e4m3': torch.tensor([1.5, -448.0, 0.001953125]).to(torch.float8_e4m3fn),
    'f8_e5m2': torch.tensor([1.5, -57344.0, 2.0**-16]).to(torch.float8_e5m2),
}
base = torch.arange(24.0).reshape(4, 6)
views = {
    'transposed': base.t(),
    'slice': base[1:3, 2:5],
    'column': base[:, 3],
    'row': base[2],
    'expanded': torch.tensor([1.0, 2.0]).expand(3, 2),
    'parameter': torch.nn.Parameter(torch.ones(2, 2)),
    'tied_a': base,
    'tied_b': base,
}

save_file({**every, **late}, f'{out}/every.safetensors', metadata={'format': 'pt', 'note': '砚'})
expected['every.safetensors'] = facts({**every, **late})

torch.save({**every, **late, **views}, f'{out}/every.pt')
expected['every.pt'] = facts({**every, **late, **views})
torch.save({**every, **views}, f'{out}/legacy.bin', _use_new_zipfile_serialization=False)
expected['legacy.bin'] = facts({**every, **views})
torch.save({**every, **views}, f'{out}/protocol5.pt', pickle_protocol=5)
expected['protocol5.pt'] = facts({**every, **views})

linear = torch.nn.Linear(3, 2)
state = linear.state_dict()  # an OrderedDict with an attribute `_metadata`
torch.save({'model': state, 'iter_num': 7, 'best': 1.25, 'config': {'n_layer': 2, 'bias': True, 'sizes': torch.Size([1, 2])}, 'names': {'a', 'b'}, 'device': torch.device('cpu'), 'dtype': torch.float16}, f'{out}/nested.pt')
expected['nested.pt'] = facts({f'model.{k}': v for k, v in state.items()})


class Evil:
    def __reduce__(self):
        return (os.system, ('touch /tmp/inkstone-was-here',))


torch.save({'w': torch.ones(2), 'x': Evil()}, f'{out}/evil.pt')
torch.save(linear, f'{out}/module.pt')
torch.save({'c': torch.ones(2, dtype=torch.complex64)}, f'{out}/complex.pt')
torch.save({'n': np.float64(3.0)}, f'{out}/numpy.pt')

w = gguf.GGUFWriter(f'{out}/every.gguf', 'llama')
w.add_uint8('v.u8', 200); w.add_int8('v.i8', -100); w.add_uint16('v.u16', 60000); w.add_int16('v.i16', -30000)
w.add_uint32('v.u32', 4000000000); w.add_int32('v.i32', -2000000000); w.add_uint64('v.u64', (1 << 63) + 1); w.add_int64('v.i64', -(1 << 40))
w.add_float32('v.f32', 0.25); w.add_float64('v.f64', 0.1); w.add_bool('v.bool', True); w.add_string('v.text', '砚台')
w.add_array('v.texts', ['Ġa', '', '墨']); w.add_array('v.ints', [1, -2, 3]); w.add_array('v.floats', [0.5, 1.5]); w.add_array('v.bools', [True, False])
rng = np.random.default_rng(1)
x = rng.standard_normal((3, 64)).astype(np.float32)
w.add_tensor('a.f32', x); w.add_tensor('a.f16', x.astype(np.float16)); w.add_tensor('a.i32', np.arange(5, dtype=np.int32))
for kind in ('Q8_0', 'Q4_0', 'BF16'):
    t = gguf.GGMLQuantizationType[kind]
    w.add_tensor(f'a.{kind.lower()}', gguf.quants.quantize(x, t), raw_dtype=t)
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
expected['every.gguf'] = {
    f'a.{k}': {'dtype': k, 'shape': [3, 64], 'values': [float(v) for v in gguf.quants.dequantize(gguf.quants.quantize(x, gguf.GGMLQuantizationType[k.upper()]), gguf.GGMLQuantizationType[k.upper()]).reshape(-1)]}
    for k in ('f32', 'f16', 'q8_0', 'q4_0', 'bf16')
}
expected['every.gguf']['a.i32'] = {'dtype': 'int32', 'shape': [5], 'values': [0, 1, 2, 3, 4]}

with open(f'{out}/expected.json', 'w') as f:
    json.dump(expected, f)
print({name: os.path.getsize(f'{out}/{name}') for name in sorted(os.listdir(out))})
