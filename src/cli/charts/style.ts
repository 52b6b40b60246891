/** Colours of charts and views, and whether a stream gets any. */

const CODES = { cyan: 36, yellow: 33, magenta: 35, green: 32, blue: 94, red: 31, dim: 2, bold: 1 } as const;

export type Colour = keyof typeof CODES;

/** What series get that name no colour, in turn. */
export const palette: readonly Colour[] = ['cyan', 'yellow', 'magenta', 'green', 'blue', 'red'];

/** `text` in a colour, where colours are on. */
export function paint(text: string, colour: Colour | undefined, isOn: boolean): string {
  return isOn && colour && text !== '' ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text;
}

export interface OutputStream {
  readonly isTTY?: boolean;
}

/** Terminals that can move their cursor. */
export function isLive(stream: OutputStream, env: Readonly<Record<string, string | undefined>>): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** As https://no-color.org asks: any value but an empty one turns colours off. */
export function hasColour(stream: OutputStream, env: Readonly<Record<string, string | undefined>>): boolean {
  return isLive(stream, env) && !env.NO_COLOR;
}
