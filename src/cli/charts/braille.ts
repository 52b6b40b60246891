/** A drawing of dots, eight to a character: Unicode's braille patterns (U+2800 on) are all subsets of a raster of 2 by 4. */
import { type Colour, paint } from './style.ts';

/** The bit of each dot, by row and column: the numbering of braille, where the fourth row came last. */
const BITS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

export class BrailleCanvas {
  /** Size in dots. */
  readonly width: number;
  readonly height: number;
  private readonly dots: Uint8Array;
  private readonly colours: (Colour | undefined)[];
  private readonly marks = new Map<number, string>();

  /** Size in characters. */
  constructor(
    readonly columns: number,
    readonly rows: number,
  ) {
    this.width = columns * 2;
    this.height = rows * 4;
    this.dots = new Uint8Array(columns * rows);
    this.colours = new Array(columns * rows);
  }

  /** One dot; (0, 0) is at the top left. Dots outside are left out. A character has one colour: that of its latest dot. */
  dot(x: number, y: number, colour?: Colour): void {
    if (!(x >= 0 && x < this.width && y >= 0 && y < this.height)) return;
    const at = (y >> 2) * this.columns + (x >> 1);
    this.dots[at] |= BITS[y & 3][x & 1];
    this.colours[at] = colour;
  }

  /** Whether a dot is set. */
  has(x: number, y: number): boolean {
    return (this.dots[(y >> 2) * this.columns + (x >> 1)] & BITS[y & 3][x & 1]) !== 0;
  }

  /** The dots nearest to a line between two points, which may lie between dots and outside: what is outside is cut off. */
  line(x0: number, y0: number, x1: number, y1: number, colour?: Colour): void {
    let [ax, ay, bx, by] = [x0, y0, x1, y1];
    if (!(this.holds(x0, y0) && this.holds(x1, y1))) {
      const inside = clip(x0, y0, x1, y1, this.width - 1, this.height - 1);
      if (!inside) return;
      [ax, ay, bx, by] = inside;
    }
    [ax, ay, bx, by] = [Math.round(ax), Math.round(ay), Math.round(bx), Math.round(by)];
    const steps = Math.max(Math.abs(bx - ax), Math.abs(by - ay), 1);
    for (let i = 0; i <= steps; i++)
      this.dot(Math.round(ax + ((bx - ax) * i) / steps), Math.round(ay + ((by - ay) * i) / steps), colour);
  }

  private holds(x: number, y: number): boolean {
    return x >= 0 && x <= this.width - 1 && y >= 0 && y <= this.height - 1;
  }

  /** A character of one column over the dots of the cell in which a dot lies. */
  mark(x: number, y: number, char: string, colour?: Colour): void {
    if (!(x >= 0 && x < this.width && y >= 0 && y < this.height)) return;
    const at = (y >> 2) * this.columns + (x >> 1);
    this.marks.set(at, char);
    this.colours[at] = colour;
  }

  /** The rows as text. Cells without dots are spaces, none at the end of a row. */
  lines(isColoured = false): string[] {
    return Array.from({ length: this.rows }, (_, row) => {
      let line = '';
      let run = '';
      let runColour: Colour | undefined;
      for (let column = 0; column < this.columns; column++) {
        const at = row * this.columns + column;
        const char = this.marks.get(at) ?? (this.dots[at] === 0 ? ' ' : String.fromCharCode(0x2800 + this.dots[at]));
        // A space has no colour, so it need not end a run.
        if (char !== ' ' && this.colours[at] !== runColour) {
          line += paint(run, runColour, isColoured);
          run = '';
          runColour = this.colours[at];
        }
        run += char;
      }
      return line + paint(run.trimEnd(), runColour, isColoured);
    });
  }
}

/** The part of a line inside [0, maxX] x [0, maxY], or null (Liang and Barsky 1984). */
function clip(
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  maxX: number,
  maxY: number,
): [number, number, number, number] | null {
  const [dx, dy] = [x1 - x0, y1 - y0];
  let [from, to] = [0, 1];
  for (const [p, q] of [
    [-dx, x0],
    [dx, maxX - x0],
    [-dy, y0],
    [dy, maxY - y0],
  ]) {
    if (p === 0) {
      if (!(q >= 0)) return null;
    } else if (p < 0) from = Math.max(from, q / p);
    else to = Math.min(to, q / p);
  }
  return from <= to ? [x0 + from * dx, y0 + from * dy, x0 + to * dx, y0 + to * dy] : null;
}
