/** Tables on a terminal: columns as wide as they have to be, the least important ones left out where there is no room. */
import { cell, columns, cut, printable } from '../display.ts';

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string;
  /** Numbers stand at the right of their column. */
  readonly isNumber?: boolean;
  /** The column with the greatest goes first where there is no room; without one it stays. */
  readonly dispensable?: number;
  /** May be cut down to so many columns. */
  readonly least?: number;
}

/** Lines of at most `width` columns: the titles, and a line for each row. */
export function table<T>(rows: readonly T[], all: readonly Column<T>[], width: number): string[] {
  const texts = all.map(({ title, value }) => [title, ...rows.map((row) => printable(value(row)))]);
  const widths = texts.map((column) => Math.max(...column.map(columns)));
  const kept = all.map((_, i) => i).filter((i) => texts[i].slice(1).some((text) => text !== '') || i === 0);
  const excess = (): number => kept.reduce((sum, i) => sum + widths[i] + 2, -2) - width;
  const shrink = (): void => {
    for (const i of kept) {
      const { least } = all[i];
      if (least !== undefined && excess() > 0) widths[i] = Math.max(Math.min(widths[i], least), widths[i] - excess());
    }
  };
  for (;;) {
    const most = Math.max(...kept.map((i) => all[i].dispensable ?? 0));
    const natural = [...widths];
    shrink();
    if (excess() <= 0 || most === 0) break;
    widths.splice(0, widths.length, ...natural);
    kept.splice(
      kept.findIndex((i) => all[i].dispensable === most),
      1,
    );
  }
  return [...rows.keys(), rows.length].map((row) =>
    cut(
      kept
        .map((i) => {
          const text = cut(texts[i][row], widths[i]);
          return all[i].isNumber ? ' '.repeat(widths[i] - columns(text)) + text : cell(text, widths[i]);
        })
        .join('  ')
        .trimEnd(),
      width,
    ),
  );
}
