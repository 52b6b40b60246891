/** The tasks that have a name of their own: declared as task files are, read by the same rules. */
import { NotFoundError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';
import { arithmeticKinds } from './rules/arithmetic.ts';
import { unscramblingKinds } from './rules/unscrambling.ts';
import { parseTask } from './task_file.ts';
import type { TaskDefinition } from './types.ts';

/** The sets of BLiMP (Warstadt et al. 2020). */
export const blimpSets = [
  'adjunct_island',
  'anaphor_gender_agreement',
  'anaphor_number_agreement',
  'animate_subject_passive',
  'animate_subject_trans',
  'causative',
  'complex_NP_island',
  'coordinate_structure_constraint_complex_left_branch',
  'coordinate_structure_constraint_object_extraction',
  'determiner_noun_agreement_1',
  'determiner_noun_agreement_2',
  'determiner_noun_agreement_irregular_1',
  'determiner_noun_agreement_irregular_2',
  'determiner_noun_agreement_with_adj_2',
  'determiner_noun_agreement_with_adj_irregular_1',
  'determiner_noun_agreement_with_adj_irregular_2',
  'determiner_noun_agreement_with_adjective_1',
  'distractor_agreement_relational_noun',
  'distractor_agreement_relative_clause',
  'drop_argument',
  'ellipsis_n_bar_1',
  'ellipsis_n_bar_2',
  'existential_there_object_raising',
  'existential_there_quantifiers_1',
  'existential_there_quantifiers_2',
  'existential_there_subject_raising',
  'expletive_it_object_raising',
  'inchoative',
  'intransitive',
  'irregular_past_participle_adjectives',
  'irregular_past_participle_verbs',
  'irregular_plural_subject_verb_agreement_1',
  'irregular_plural_subject_verb_agreement_2',
  'left_branch_island_echo_question',
  'left_branch_island_simple_question',
  'matrix_question_npi_licensor_present',
  'npi_present_1',
  'npi_present_2',
  'only_npi_licensor_present',
  'only_npi_scope',
  'passive_1',
  'passive_2',
  'principle_A_c_command',
  'principle_A_case_1',
  'principle_A_case_2',
  'principle_A_domain_1',
  'principle_A_domain_2',
  'principle_A_domain_3',
  'principle_A_reconstruction',
  'regular_plural_subject_verb_agreement_1',
  'regular_plural_subject_verb_agreement_2',
  'sentential_negation_npi_licensor_present',
  'sentential_negation_npi_scope',
  'sentential_subject_island',
  'superlative_quantifiers_1',
  'superlative_quantifiers_2',
  'tough_vs_raising_1',
  'tough_vs_raising_2',
  'transitive',
  'wh_island',
  'wh_questions_object_gap',
  'wh_questions_subject_gap',
  'wh_questions_subject_gap_long_distance',
  'wh_vs_that_no_gap',
  'wh_vs_that_no_gap_long_distance',
  'wh_vs_that_with_gap',
  'wh_vs_that_with_gap_long_distance',
] as const;

const BLIMP_SOURCE = 'github.com/alexwarstadt/blimp (data/*.jsonl) or huggingface.co/datasets/nyu-mll/blimp';

/** Minimal pairs: the grammatical sentence should be the more probable one. */
function blimp(set: string): object {
  return {
    name: `blimp_${set}`,
    output_type: 'multiple_choice',
    dataset: { splits: { test: [`blimp/${set}.jsonl.gz`, `blimp/${set}.jsonl`] }, source: BLIMP_SOURCE },
    doc_to_text: '',
    doc_to_target: '0',
    doc_to_choice: ['{{ sentence_good }}', '{{ sentence_bad }}'],
    metrics: ['acc'],
  };
}

/** "Q: What is 48 plus 76?", "A: 124" (Brown et al. 2020, figure G.44 and on). */
function arithmetic(kind: string): object {
  return {
    name: `arithmetic_${kind}`,
    output_type: 'loglikelihood',
    dataset: { rule: { name: 'arithmetic', kind } },
    doc_to_text: 'Q: {{ question }}\nA:',
    doc_to_target: '{{ answer }}',
    fewshot_split: 'train',
    metrics: ['acc'],
  };
}

/** The paper's instruction, and "word = word" (Brown et al. 2020, figures G.29 to G.33). */
function unscrambling(kind: string): object {
  const what = kind === 'reversed_words' ? 'Please write the letters of the word backwards' : UNSCRAMBLE;
  return {
    name: `word_${kind}`,
    output_type: 'generate_until',
    dataset: { rule: { name: 'word_unscrambling', kind } },
    description: `${what}, and write that word:\n\n`,
    doc_to_text: '{{ scrambled }} =',
    doc_to_target: '{{ answer }}',
    fewshot_split: 'train',
    generation: { until: ['\n'], max_new_tokens: 12 },
    filters: [{ name: 'none', steps: ['take_first', 'strip'] }],
    metrics: ['exact_match'],
  };
}

const UNSCRAMBLE = 'Please unscramble the letters into a word';

const single: readonly object[] = [
  {
    name: 'lambada',
    output_type: 'loglikelihood',
    dataset: {
      splits: { test: 'lambada_test.jsonl' },
      source: 'huggingface.co/datasets/EleutherAI/lambada_openai (lambada_test.jsonl: {"text": …})',
    },
    doc_to_text: "{{ text.split(' ')[:-1] | join(' ') }}",
    doc_to_target: "{{ text.split(' ')[-1] }}",
    metrics: ['acc', 'perplexity'],
  },
  {
    name: 'gsm8k',
    output_type: 'generate_until',
    dataset: {
      splits: { test: 'gsm8k_test.jsonl' },
      source: 'github.com/openai/grade-school-math (test.jsonl: {"question": …, "answer": …})',
    },
    doc_to_text: 'Question: {{ question }}\nAnswer:',
    doc_to_target: '{{ answer }}',
    num_fewshot: 5,
    generation: { until: ['Question:', '</s>', '<|im_end|>'], max_new_tokens: 256 },
    filters: [
      { name: 'strict-match', steps: [{ function: 'regex', pattern: '#### (-?[0-9.,]+)' }, 'take_first'] },
      {
        name: 'flexible-extract',
        steps: [{ function: 'regex', pattern: '(-?[$0-9.,]{2,})|(-?[0-9]+)', group_select: -1 }, 'take_first'],
      },
    ],
    metrics: [
      {
        metric: 'exact_match',
        ignore_case: true,
        regexes_to_ignore: [',', '\\$', '.*#### ', '\\.$'],
      },
    ],
  },
  {
    name: 'sst2',
    output_type: 'multiple_choice',
    dataset: {
      splits: { test: 'sst2/test.tsv', train: 'sst2/train.tsv', dev: 'sst2/dev.tsv' },
      columns: ['sentence', 'label'],
      source: 'SST-2 as train.tsv, dev.tsv and test.tsv in a folder sst2: sentence, tab, label (0 or 1)',
    },
    doc_to_text: 'Review: {{ sentence }}\nSentiment:',
    doc_to_target: '{{ label }}',
    doc_to_choice: ['negative', 'positive'],
    fewshot_split: 'train',
    fewshot_delimiter: '\n\n',
    metrics: ['acc'],
  },
  {
    name: 'hellaswag',
    output_type: 'multiple_choice',
    dataset: {
      splits: { test: ['hellaswag_val.jsonl', 'hellaswag/hellaswag_val.jsonl'] },
      source: 'github.com/rowanz/hellaswag (data/hellaswag_val.jsonl)',
    },
    doc_to_text: `{{ ${cleaned('activity_label')} }}: {{ ${cleaned('ctx')} }}`,
    doc_to_target: '{{ label }}',
    doc_to_choice: [0, 1, 2, 3].map((i) => `{{ ${cleaned(`endings[${i}]`)} }}`),
    metrics: ['acc', 'acc_norm'],
  },
  {
    name: 'perplexity',
    output_type: 'loglikelihood_rolling',
    dataset: {
      splits: { test: 'perplexity/*.txt' },
      format: 'text',
      source: 'texts of your own: --dataset perplexity=FILE',
    },
    metrics: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
  },
  {
    name: 'needle',
    output_type: 'generate_until',
    dataset: { rule: { name: 'needle' } },
    doc_to_text:
      '{{ haystack }}\n\nQuestion: What is the magic number of {{ city }}?\nAnswer: The magic number of {{ city }} is',
    doc_to_target: '{{ answer }}',
    generation: { until: ['\n', '.'], max_new_tokens: 12 },
    filters: [{ name: 'none', steps: [{ function: 'regex', pattern: '[0-9]+' }, 'take_first'] }],
    metrics: ['exact_match'],
  },
];

/** WikiHow's marks of titles are taken out, as in lm-evaluation-harness. */
function cleaned(text: string): string {
  return `${text}.strip().replace(' [title]', '. ')`;
}

const groups: Readonly<Record<string, readonly object[]>> = {
  blimp: blimpSets.map(blimp),
  arithmetic: arithmeticKinds.map(arithmetic),
  word_unscrambling: unscramblingKinds.map(unscrambling),
};

const declared = new Map<string, object>(
  [...single, ...Object.values(groups).flat()].map((task) => [(task as { name: string }).name, task]),
);

/** Names of groups, then of tasks outside of them, then of those in them. */
export const builtinNames: readonly string[] = [...Object.keys(groups), ...declared.keys()];

/** A task, or the tasks of a group. @throws NotFoundError with the nearest names. */
export function builtinTask(name: string): TaskDefinition | readonly TaskDefinition[] {
  if (Object.hasOwn(groups, name)) return groups[name].map((task) => parseTask(task, `task ${name}`));
  const task = declared.get(name);
  if (task) return parseTask(task, `task ${name}`);
  const near = nearestNames(name, builtinNames);
  throw new NotFoundError('task', name, near.length > 0 ? [] : [`built in: ${builtinSummary()}`], near);
}

/** The names without the members of groups. */
export function builtinSummary(): string {
  return [...Object.keys(groups), ...single.map((task) => (task as { name: string }).name)].join(', ');
}
