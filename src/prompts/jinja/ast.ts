/** The tree of a template. Every node knows its line. */

interface At {
  readonly line: number;
}

export type Expr = At &
  (
    | { readonly kind: 'const'; readonly value: null | boolean | number | string; readonly float?: boolean }
    | { readonly kind: 'name'; readonly name: string }
    | { readonly kind: 'list' | 'tuple'; readonly items: readonly Expr[] }
    | { readonly kind: 'dict'; readonly items: readonly (readonly [Expr, Expr])[] }
    | { readonly kind: 'attribute'; readonly object: Expr; readonly name: string }
    | { readonly kind: 'item'; readonly object: Expr; readonly index: Expr }
    | { readonly kind: 'slice'; readonly start?: Expr; readonly stop?: Expr; readonly step?: Expr }
    | { readonly kind: 'call'; readonly callee: Expr; readonly args: Arguments }
    | { readonly kind: 'filter'; readonly input: Expr | null; readonly name: string; readonly args: Arguments }
    | {
        readonly kind: 'test';
        readonly input: Expr;
        readonly name: string;
        readonly args: Arguments;
        readonly negate: boolean;
      }
    | { readonly kind: 'unary'; readonly operator: '-' | '+' | 'not'; readonly operand: Expr }
    | { readonly kind: 'binary'; readonly operator: string; readonly left: Expr; readonly right: Expr }
    | { readonly kind: 'compare'; readonly first: Expr; readonly rest: readonly (readonly [string, Expr])[] }
    | { readonly kind: 'concat'; readonly parts: readonly Expr[] }
    | { readonly kind: 'conditional'; readonly test: Expr; readonly yes: Expr; readonly no: Expr | null }
  );

export interface Arguments {
  readonly positional: readonly Expr[];
  readonly keywords: readonly (readonly [string, Expr])[];
  readonly spread?: Expr;
  readonly keywordSpread?: Expr;
}

export interface Signature {
  readonly name: string;
  readonly parameters: readonly { readonly name: string; readonly fallback?: Expr }[];
  readonly body: readonly Stmt[];
}

export type Target = At &
  (
    | { readonly kind: 'name'; readonly name: string }
    | { readonly kind: 'tuple'; readonly items: readonly Target[] }
    | { readonly kind: 'namespace'; readonly name: string; readonly attribute: string }
  );

export type Stmt = At &
  (
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'output'; readonly value: Expr }
    | {
        readonly kind: 'for';
        readonly target: Target;
        readonly iterable: Expr;
        readonly test: Expr | null;
        readonly recursive: boolean;
        readonly body: readonly Stmt[];
        readonly otherwise: readonly Stmt[];
      }
    | {
        readonly kind: 'if';
        readonly branches: readonly { readonly test: Expr | null; readonly body: readonly Stmt[] }[];
      }
    | { readonly kind: 'set'; readonly target: Target; readonly value: Expr }
    | {
        readonly kind: 'set_block';
        readonly target: Target;
        readonly filter: Expr | null;
        readonly body: readonly Stmt[];
      }
    | { readonly kind: 'macro'; readonly macro: Signature }
    | { readonly kind: 'call_block'; readonly call: Expr; readonly caller: Signature }
    | { readonly kind: 'filter_block'; readonly filter: Expr; readonly body: readonly Stmt[] }
    | { readonly kind: 'with'; readonly bindings: readonly (readonly [Target, Expr])[]; readonly body: readonly Stmt[] }
    | { readonly kind: 'scope' | 'generation'; readonly body: readonly Stmt[] }
    | { readonly kind: 'break' | 'continue' }
    | { readonly kind: 'refused'; readonly reason: string }
  );
