/** Charts for terminals. */
export { type AxisOptions, type Unit, written } from './axis.ts';
export { type Bar, type BarChartOptions, barChart, histogram, sparkline } from './bars.ts';
export { BrailleCanvas } from './braille.ts';
export { type LineChartOptions, lineChart, type Series } from './line_chart.ts';
export { type Colour, hasColour, isLive, paint, palette } from './style.ts';
