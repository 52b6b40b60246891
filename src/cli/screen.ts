/** A block of lines at the end of a terminal, redrawn in place: only lines that differ are written, each frame in one piece. */
import { columns, printable } from '../display.ts';

/** What a terminal has of a stream; `process.stderr` is one. */
export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
  on?(event: 'resize', listener: () => void): unknown;
  off?(event: 'resize', listener: () => void): unknown;
}

const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

export class Screen {
  private shown: readonly string[] = [];
  /** Whether the terminal was resized since: it may have broken lines anew, so all of them are written again. */
  private isStale = false;
  private isOpen = false;
  private readonly restore = (): void => {
    if (this.isOpen) this.stream.write(SHOW_CURSOR);
  };
  private readonly resized = (): void => {
    this.isStale = true;
    this.onResize();
  };

  constructor(
    private readonly stream: TerminalStream,
    private readonly onResize: () => void = () => undefined,
  ) {}

  /** Columns that a line may take. The last one stays free: terminals differ in what a full line does. */
  get width(): number {
    return Math.max(1, (this.stream.columns || 80) - 1);
  }

  /** Lines that a frame may take. */
  get height(): number {
    return Math.max(1, (this.stream.rows || 24) - 1);
  }

  /** Show a frame in the place of the one before. Lines have to fit `width`, their number `height`. */
  draw(lines: readonly string[]): void {
    let text = '';
    if (!this.isOpen) {
      text += HIDE_CURSOR;
      this.isOpen = true;
      this.stream.on?.('resize', this.resized);
      // An end without close() must not leave a terminal without a cursor.
      process.once('exit', this.restore);
    }
    if (this.isStale) {
      text += this.clear();
      this.shown = [];
      this.isStale = false;
    }
    text += up(this.shown.length);
    const most = Math.max(lines.length, this.shown.length);
    for (let i = 0; i < lines.length; i++) {
      text += this.shown[i] === lines[i] ? '\r\n' : `\r${lines[i]}\x1b[K\r\n`;
    }
    if (most > lines.length) text += '\x1b[J';
    this.shown = lines;
    this.stream.write(text);
  }

  /** A line above the block that stays. */
  note(line: string): void {
    const lines = this.shown;
    this.stream.write(`${this.clear()}${printable(line)}\n`);
    this.shown = [];
    if (lines.length > 0) this.draw(lines);
  }

  /** Leave the last frame as it is, with the cursor below. */
  close(): void {
    if (!this.isOpen) return;
    this.restore();
    this.isOpen = false;
    this.stream.off?.('resize', this.resized);
    process.off('exit', this.restore);
    this.shown = [];
  }

  /** What removes the block: terminals that break lines anew when they become narrower made more of them. */
  private clear(): string {
    const width = Math.max(1, this.stream.columns || 80);
    const rows = this.shown.reduce((sum, line) => sum + Math.max(1, Math.ceil(columns(bare(line)) / width)), 0);
    return rows === 0 ? '' : `${up(Math.min(rows, this.height))}\r\x1b[J`;
  }
}

function up(rows: number): string {
  return rows > 0 ? `\x1b[${rows}A` : '';
}

/** A line without its colours. */
export function bare(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
  return line.replace(/\x1b\[[0-9;]*m/g, '');
}
