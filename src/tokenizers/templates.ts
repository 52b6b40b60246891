/** What stands around a text: the special tokens of a template (post-processors of tokenizer.json). */

export type TemplateItem =
  | { readonly kind: 'text'; readonly which: 'A' | 'B'; readonly type: number }
  | { readonly kind: 'tokens'; readonly ids: readonly number[]; readonly type: number };

export interface Template {
  readonly single: readonly TemplateItem[];
  readonly pair: readonly TemplateItem[];
}

const text = (which: 'A' | 'B', type = 0): TemplateItem => ({ kind: 'text', which, type });
const token = (id: number, type = 0): TemplateItem => ({ kind: 'tokens', ids: [id], type });

/** Nothing around the text. */
export const PLAIN: Template = { single: [text('A')], pair: [text('A'), text('B', 1)] };

/** `[CLS] A [SEP] B [SEP]`. */
export function bertTemplate(cls: number, sep: number): Template {
  return {
    single: [token(cls), text('A'), token(sep)],
    pair: [token(cls), text('A'), token(sep), text('B', 1), token(sep, 1)],
  };
}

/** `<s> A </s></s> B </s>`. */
export function robertaTemplate(cls: number, sep: number): Template {
  return {
    single: [token(cls), text('A'), token(sep)],
    pair: [token(cls), text('A'), token(sep), token(sep), text('B'), token(sep)],
  };
}

/** A beginning and an end around every text; -1 for none. */
export function edgeTemplate(begin: number, end: number): Template {
  const around = (which: 'A' | 'B', type: number): TemplateItem[] => [
    ...(begin >= 0 ? [token(begin, type)] : []),
    text(which, type),
    ...(end >= 0 ? [token(end, type)] : []),
  ];
  return { single: around('A', 0), pair: [...around('A', 0), ...around('B', 1)] };
}
