/** What a sweep measures of each answer and each cell, as one table. */
import { distinct, longestRepeat, repetition } from './diversity.ts';

export const measureNames = [
  'distinct_1',
  'distinct_2',
  'distinct_3',
  'self_bleu',
  'repetition',
  'longest_repeat',
  'entropy',
  'log_likelihood',
  'length',
  'mauve',
] as const;
export type MeasureName = (typeof measureNames)[number];

export interface MeasureSpec {
  readonly name: MeasureName;
  /** A short title for tables. */
  readonly title: string;
  /** Whether more of it is taken for better, when a search is told to go by it. */
  readonly isMore: boolean;
  readonly digits: number;
  readonly en: string;
  readonly zh: string;
}

export const measureTable: readonly MeasureSpec[] = [
  spec(
    'distinct_1',
    'dist-1',
    true,
    3,
    'different words and characters over all of an answer',
    '答案中不同字词所占比例',
  ),
  spec('distinct_2', 'dist-2', true, 3, 'different pairs of them over all pairs', '不同二元组所占比例'),
  spec('distinct_3', 'dist-3', true, 3, 'different triples of them over all triples', '不同三元组所占比例'),
  spec(
    'self_bleu',
    'self-BLEU',
    false,
    3,
    'BLEU-4 of an answer against the other answers to its prompt: high where they are alike',
    '每个答案对同一提示其余答案的 BLEU-4：越高越雷同',
  ),
  spec(
    'repetition',
    'repeat',
    false,
    3,
    'share of 4-grams that stand earlier in the same answer',
    '答案内重复四元组的比例',
  ),
  spec(
    'longest_repeat',
    'longest',
    false,
    3,
    'length of the longest run that stands at two places of an answer, as a share of it',
    '答案中最长重复片段占全长的比例',
  ),
  spec(
    'entropy',
    'entropy',
    true,
    3,
    'mean entropy of the distribution after all processors, in nats',
    '处理后分布的平均熵（奈特）',
  ),
  spec(
    'log_likelihood',
    'log-lik',
    true,
    3,
    'mean log-probability of a token under the model itself, in nats',
    '模型自身给出的词元平均对数概率（奈特）',
  ),
  spec('length', 'length', true, 1, 'tokens of an answer, without the end token', '答案的词元数（不含结束符）'),
  spec(
    'mauve',
    'MAUVE*',
    true,
    3,
    'area under the divergence frontier to the reference, over hashed n-grams of pieces of 32 words: 1 is the same',
    '与参考文本的散度前沿下面积（以 32 个字词为段的哈希 n 元特征）：1 为相同',
  ),
];

function spec(name: MeasureName, title: string, isMore: boolean, digits: number, en: string, zh: string): MeasureSpec {
  return { name, title, isMore, digits, en, zh };
}

/** The measures of one answer's units that need no other answer; null for an answer that is too short for one. */
export function measureUnits(units: readonly (string | number)[]): Pick<Measured, UnitMeasure> {
  return {
    distinct_1: distinct(units, 1),
    distinct_2: distinct(units, 2),
    distinct_3: distinct(units, 3),
    repetition: repetition(units, 4),
    longest_repeat: longestRepeat(units),
  };
}
type UnitMeasure = 'distinct_1' | 'distinct_2' | 'distinct_3' | 'repetition' | 'longest_repeat';
export type Measured = Readonly<Record<MeasureName, number | null>>;
