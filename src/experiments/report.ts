/** The report of a sweep as one HTML page that needs nothing else: data, charts, texts side by side. */
import { measureTable } from './measures.ts';
import { REPORT_SCRIPT, REPORT_STYLE } from './report_page.ts';
import type { SweepReport } from './sweep.ts';

/** What stands at the head of a report. */
export interface ReportHead {
  readonly model: string;
  /** Texts of the prompts, in their order. */
  readonly prompts: readonly string[];
  readonly backend?: string;
  readonly precision?: string;
  readonly version?: string;
  /** When it was made, in the form of ISO 8601. */
  readonly date?: string;
}

/** The chart library, as the texts of its two files. */
export interface ChartLibrary {
  readonly script: string;
  readonly style: string;
}

/** The page. What models wrote stands in it as data only, and is shown as text: it cannot become markup or code. */
export function renderReport(head: ReportHead, report: SweepReport, charts: ChartLibrary): string {
  const data = { ...head, ...report, measures: measureTable };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>${escaped(`${head.model} · sweep`)}</title>
<style>${styleText(charts.style)}</style>
<style>${REPORT_STYLE}</style>
</head>
<body>
<div id="page"></div>
<noscript>This report is drawn by its own script, which is turned off here. 此报告由页内脚本绘制，请启用脚本。</noscript>
<script type="application/json" id="data">${jsonText(data)}</script>
<script>${scriptText(charts.script)}</script>
<script>${REPORT_SCRIPT}</script>
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** JSON inside a script element: nothing in it can end the element or begin a comment. */
function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function scriptText(text: string): string {
  return text.replace(/<\/(script)/gi, '<\\/$1');
}

function styleText(text: string): string {
  return text.replace(/<\//g, '<\\/');
}
