/** C's strftime in the C locale and local time: https://docs.python.org/3/library/datetime.html#format-codes */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** Unknown directives stay as they are, as in glibc. `%z` and `%Z` are empty: the moment carries no zone. */
export function strftime(now: Date, format: string): string {
  return format.replace(/%([-_0^#]?)([a-zA-Z%])/g, (all, flag: string, code: string) => {
    const found = directive(now, code);
    if (found === null) return all;
    if (typeof found === 'string') return flag === '^' ? found.toUpperCase() : found;
    const [value, width, fill] = found;
    if (flag === '-') return String(value);
    return String(value).padStart(width, flag === '_' ? ' ' : flag === '0' ? '0' : fill);
  });
}

function directive(now: Date, code: string): string | readonly [value: number, width: number, fill: string] | null {
  const two = (value: number): readonly [number, number, string] => [value, 2, '0'];
  const day = now.getDay();
  const dayOfYear = Math.round(
    (Date.UTC(now.getFullYear(), now.getMonth(), now.getDate()) - Date.UTC(now.getFullYear(), 0, 1)) / 864e5,
  );
  switch (code) {
    case 'a':
      return DAYS[day].slice(0, 3);
    case 'A':
      return DAYS[day];
    case 'b':
    case 'h':
      return MONTHS[now.getMonth()].slice(0, 3);
    case 'B':
      return MONTHS[now.getMonth()];
    case 'c':
      return strftime(now, '%a %b %e %H:%M:%S %Y');
    case 'C':
      return two(Math.floor(now.getFullYear() / 100));
    case 'd':
      return two(now.getDate());
    case 'D':
    case 'x':
      return strftime(now, '%m/%d/%y');
    case 'e':
      return [now.getDate(), 2, ' '];
    case 'f':
      return [now.getMilliseconds() * 1000, 6, '0'];
    case 'F':
      return strftime(now, '%Y-%m-%d');
    case 'g':
      return two(isoWeek(now).year % 100);
    case 'G':
      return [isoWeek(now).year, 4, '0'];
    case 'H':
      return two(now.getHours());
    case 'I':
      return two(now.getHours() % 12 || 12);
    case 'j':
      return [dayOfYear + 1, 3, '0'];
    case 'k':
      return [now.getHours(), 2, ' '];
    case 'l':
      return [now.getHours() % 12 || 12, 2, ' '];
    case 'm':
      return two(now.getMonth() + 1);
    case 'M':
      return two(now.getMinutes());
    case 'n':
      return '\n';
    case 'p':
      return now.getHours() < 12 ? 'AM' : 'PM';
    case 'P':
      return now.getHours() < 12 ? 'am' : 'pm';
    case 'r':
      return strftime(now, '%I:%M:%S %p');
    case 'R':
      return strftime(now, '%H:%M');
    case 's':
      return String(Math.floor(now.getTime() / 1000));
    case 'S':
      return two(now.getSeconds());
    case 't':
      return '\t';
    case 'T':
    case 'X':
      return strftime(now, '%H:%M:%S');
    case 'u':
      return [day || 7, 1, '0'];
    case 'U':
      return two(Math.floor((dayOfYear + 7 - day) / 7));
    case 'V':
      return two(isoWeek(now).week);
    case 'w':
      return [day, 1, '0'];
    case 'W':
      return two(Math.floor((dayOfYear + 7 - ((day + 6) % 7)) / 7));
    case 'y':
      return two(now.getFullYear() % 100);
    case 'Y':
      return [now.getFullYear(), 4, '0'];
    case 'z':
    case 'Z':
      return '';
    case '%':
      return '%';
    default:
      return null;
  }
}

/** The ISO 8601 week: the one that holds the year's Thursday. */
function isoWeek(now: Date): { year: number; week: number } {
  const thursday = new Date(Date.UTC(now.getFullYear(), now.getMonth(), now.getDate() + 4 - (now.getDay() || 7)));
  const year = thursday.getUTCFullYear();
  return { year, week: Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / 864e5 / 7) + 1 };
}
