"""Makes jinja_cases.json: what Jinja 3.1.6, set up as transformers sets it up, gives for many small templates.

    pip install jinja2==3.1.6 && python make_jinja_cases.py > jinja_cases.json
"""
import json
from datetime import datetime

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime(2024, 2, 9, 15, 4, 5)
DATA = {
    "messages": [
        {"role": "system", "content": "Be <brief>.", "n": 3, "tags": ["b", "A"]},
        {"role": "user", "content": "  Grüße, 世界 😀!\n", "n": 1, "tags": []},
        {"role": "assistant", "content": "line one\nline two\n\nline four", "n": 2, "tags": ["c"]},
        {"role": "user", "content": "bye", "n": 1, "tags": ["A", "a"]},
    ],
    "tree": [{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": [{"v": 4, "c": []}]}]}, {"v": 5, "c": []}],
    "d": {"b": 2, "a": 1, "C": 3, "items": "shadow", "none": None},
    "s": "The quick brown fox",
    "nums": [3, 1.5, -2, 10],
    "nothing": None,
    "yes": True,
}
EXPRESSIONS = r"""
'%s is %d years, %.2f %5s|%-5s|%05d %x %%' % ('Al', 42, 3.14159, 'ab', 'cd', 42, 255)
'%s' % s
'%(a)s-%(b)s' % d
'%r %s' % ('it\'s', none)
'%s' % (messages[0].tags,)
'{} {} {}'.format(1, 'two', 3.0)
'{0}{1}{0}'.format('a', 'b')
'{name:>10}|{name:<10}|{name:^10}|{name:*^9}'.format(name='mid')
'{:.3f} {:08.2f} {:,} {:+d} {:x} {:#b} {:e} {:%}'.format(3.14159, 2.5, 1234567, 5, 255, 5, 12345.678, 0.25)
'{m[role]} {l[1]} {m[tags]!r}'.format(m=messages[0], l=nums)
'{{}} {:>{w}}'.format('x', w=4)
"%s, %s!" | format("Hello", "World")
"%(x)s" | format(x=5)
messages | groupby('role')
messages | groupby('n') | map(attribute='grouper') | list
messages | groupby('role') | map('last') | map('length') | list
messages | map(attribute='content') | map('trim') | join('|')
messages | map(attribute='tags.0', default='-') | list
messages | map(attribute='tags.0') | list | length
messages | selectattr('role', 'in', ['user', 'system']) | map(attribute='n') | sum
messages | rejectattr('n', '>', 1) | list | length
messages | selectattr('tags') | list | length
nums | select('>', 1) | list
nums | reject('equalto', 3) | list
nums | sort
nums | sort(reverse=true)
messages | sort(attribute='n') | map(attribute='role') | list
messages | sort(attribute='n,role', reverse=true) | map(attribute='content') | list
['b', 'A', 'c', 'B'] | sort
['b', 'A', 'c', 'B'] | sort(case_sensitive=true)
['b', 'A', 'a', 'B'] | unique | list
nums | min
nums | max
messages | max(attribute='n')
[] | max
nums | sum
nums | sum(start=100)
nums | first
nums | last
[] | first
'' | last
s | first
d | dictsort
d | dictsort(by='value', reverse=true)
d | length
d | items | list
d.items() | list
d['items']
d.keys() | list
d.values() | list
d.get('zz')
d.get('zz', 'dflt')
d.get('none', 'dflt')
d.b
d['b']
d.zz is defined
d.none is none
d | tojson
d | tojson(indent=2)
messages | tojson(indent=4)
{'a': [], 'b': {}, 'c': 'é😀"\\/\x01'} | tojson
{'a': [], 'b': {}, 'c': 'é😀"'} | tojson(ensure_ascii=true)
{'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':'))
[1.0, 1e20, 1e-7, 0.1, 123456789012.5, true, none] | tojson
[1.0, 1e20, 1e16, 1e15, 1e-7, 0.0001, 0.00001]
(1, 'a', none, (2,), [3], {'k': "q'"})
"it's" ~ 'x"y' ~ 1 ~ none ~ true ~ 2.0
["it's", 'say "hi"', 'both \' "', 'tab\t', 'é', '\u200b']
s | upper
s | lower
s | title
s | capitalize
"don't stop-now (ok)" | title
"don't stop-now".title()
'ǆ straße'.upper()
s | length
messages[1].content | length
messages[1].content | trim | length
messages[1].content[2:6]
messages[1].content[::-1]
messages[1].content[-3]
'😀x😀'[1]
'😀x😀'[::2]
s[4:9]
s[-3:]
s[:-4]
s[::3]
s[100:]
nums[1:]
nums[::-1]
nums[-2:]
nums[5]
s[50]
s | replace('quick', 'slow') | replace('o', '0', 1)
s.replace('o', '0', 1)
'aaa'.replace('', '-')
s.split()
s.split(' ', 2)
' a  b '.split()
' a  b '.split(' ')
s.rsplit(' ', 1)
s.rsplit(none, 2)
s.partition('quick')
s.rpartition('o')
s.partition('zz')
'a\nb\r\nc\n'.splitlines()
'a\nb\n'.splitlines(true)
s.find('quick')
s.find('zz')
s.rfind('o')
s.index('fox')
s.index('zz')
s.count('o')
s.startswith('The')
s.startswith(('A', 'The'))
s.endswith('fox')
s.startswith('quick', 4)
s.removeprefix('The ').removesuffix(' fox')
'xxhixx'.strip('x')
'xyhiyx'.lstrip('yx')
'42'.zfill(5)
'-42'.zfill(5)
'ab'.center(7, '*')
'abc'.center(8, '*')
'ab'.ljust(4) ~ '|'
'ab'.rjust(4) ~ '|'
'ab' | center(6) ~ '|'
'a1'.isalnum(), '12'.isdigit(), 'ab'.isalpha(), ' '.isspace(), 'AB'.isupper(), 'ab'.islower()
','.join(['a', 'b'])
','.join([1])
'Ab'.swapcase()
messages[2].content | indent
messages[2].content | indent(2, true)
messages[2].content | indent(2, blank=true)
messages[2].content | indent('> ')
'a\n' | indent
s | truncate(10)
s | truncate(10, true)
s | truncate(12, false, '…', 0)
s | wordcount
'<a href="x">b</a> &' | escape
'<p>a  <b>c</b></p><!-- x -->' | striptags
'a b/ü&' | urlencode
{'q': 'a b', 'x': 1} | urlencode
'3.7' | int
'0x1f' | int(base=16)
'zz' | int(7)
'zz' | int(none)
3.99 | int
'2.5' | float
'x' | float
-3 | abs
2.5 | round
3.5 | round
2.567 | round(2)
2.1 | round(0, 'ceil')
42 | round
2.345 | round(1, 'floor')
7 // 2
-7 // 2
7 % -3
-7 % 3
7.5 // 2
2 ** 10
2 ** -1
2 ** 0.5
7 / 2
6 / 2
1 / 0
5 % 0
1 + 2.0
1 + true
-nums[0]
- 3 | abs
+5
not yes
not nothing
1 < 2 < 3
1 < 3 < 2
1 == 1.0
1 == true
'a' < 'B'
'1' == 1
[1, 2] == [1, 2]
(1, 2) == [1, 2]
{'a': 1} == {'a': 1.0}
[1, 2] < [1, 3]
1 < 'a'
2 in nums
3.0 in nums
'quick' in s
1 in s
'b' in d
'x' not in d
none in [none]
nums + [1]
[1] + (2,)
'a' + 1
1 + 'a'
none + 1
'ab' * 3
[1] * 2
2 * 'x'
'a' - 'b'
undefined_thing
undefined_thing.x
undefined_thing | default('d')
undefined_thing is defined
undefined_thing + 1
undefined_thing == undefined_other
undefined_thing | length
undefined_thing | list
undefined_thing ~ 'x'
'x' in undefined_thing
nothing.x
nothing | default('d')
nothing | default('d', true)
'' | default('d', boolean=true)
nothing is defined
nothing is none
'a' if yes else 'b'
'a' if nothing
('a' if nothing) is defined
'a' if false else 'b' if false else 'c'
1 if yes else 2 + 3
yes and 'x' or 'y'
nothing or 'fallback'
4 is divisibleby(2)
4 is divisibleby 2
3 is odd
4 is even
4 is not odd
yes is true
yes is boolean
1 is number
1.0 is float
1 is integer
true is integer
'a' is string
d is mapping
nums is iterable
5 is iterable
nums is sequence
'abc' is lower
'ABC' is upper
range is callable
3 is in nums
3 is eq 3
3 is sameas 3
'upper' is filter
'odd' is test
range(5) | list
range(2, 10, 3) | list
range(5, 0, -2) | list
range(3)[1]
dict(a=1, b='x')
dict([('k', 'v')])
namespace(a=1).a
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3, 4, 5] | batch(2, 0) | list
[1, 2, 3, 4, 5] | slice(3) | list
[1, 2, 3, 4, 5] | slice(3, 'x') | list
'abc' | list
'abc' | reverse
[1, 2] | reverse | list
'abc' | string
5 | string ~ 'x'
'a' 'b' "c"
0x1f + 0b11 + 0o7 + 1_000
1e3
1.5e-3
1.
'\x41\u00e9\n\t\\\'' | tojson
"\U0001F600"
'\101\q'
[1, 2,]
(1,)
()
{}
{'a': 1,}
strftime_now('%Y-%m-%d %H:%M:%S %A %a %B %b %j %p %I %y %-d %-m %e|%%|%F %T %u %w %U %W %V %G')
raise_exception('no: ' ~ s)
messages.append(1)
d.update({})
d.__class__
''.__class__.__mro__
''.constructor
messages.constructor
d.__proto__
nosuch()
s()
s | nosuchfilter
s is nosuchtest
s | join('-')
nothing | map('upper') | list
nothing | map(attribute='x') | list
nothing | select | list
nothing | rejectattr('x') | list
[[1, 2], [3]] | map('join', '+') | list
['a', 'bb'] | map('length') | list
[' a ', 'b '] | map('trim') | list
['a', 'b'] | map('upper') | join
['x'] | map('replace', 'x', 'y') | list
[{'a': {'b': 1}}] | map(attribute='a.b') | list
nums | map('string') | join(', ')
messages | join('; ', attribute='role')
messages | selectattr('n', 'eq', 1) | map(attribute='role') | unique | join
1.0 ~ 100.0 ~ 1.10
0.1 + 0.2
10 ** 15
1e15 + 0.5
100000000000000000000.0
-0.0
messages[0]['tags'][1].lower()
messages[0].tags | join(',') | upper
(nums | sort)[0]
s.split(' ')[1:3] | join('_')
not 1 == 2
-2 ** 2
2 ** 3 ** 2
1 - 2 - 3
2 * 3 % 4
'a' ~ 1 + 2
1 if 0
[1,2,3].index(2)
[1,2,2].count(2)
true + true
none ~ ''
'x' is defined and 'y'
{'a': 1}.a
{'a': {'b': [1, {'c': 5}]}}.a.b[1].c
'a,b'.split(',') | last
messages[-1].content
messages[-9]
s.upper().lower().title()
'%s' | format('<b>')
'%d' % 3.7
'%d' % 'x'
'%s %s' % ('a',)
'%s' % ('a', 'b')
'%5.1f|%-8s|%+d|% d|%e|%g' % (3.14159, 'ab', 5, 5, 12345.678, 0.0001)
'{:d}'.format('x')
'{} {}'.format(1)
'{x}'.format()
""".strip("\n").split("\n")
TEMPLATES = [
    "{% for k, v in d.items() %}{{ loop.index }}:{{ k }}={{ v }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for n in tree recursive %}[{{ n.v }}@{{ loop.depth }}{% if n.c %}{{ loop(n.c) }}{% endif %}]{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }} {{ m.content | trim }};{% else %}none{% endfor %}",
    "{% for m in [] %}x{% else %}empty{% endfor %}",
    "{% for m in messages %}{% if loop.first %}F{% endif %}{{ loop.previtem.role if loop.previtem is defined }}>{{ loop.nextitem.role if not loop.last else 'end' }} {% endfor %}",
    "{% for x in nums %}{% if loop.changed(x > 0) %}*{% endif %}{{ x }} {% endfor %}",
    "{% set x = 1 %}{% for i in range(3) %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}",
    "{% set ns = namespace(t=0) %}{% for i in nums %}{% set ns.t = ns.t + i %}{% endfor %}{{ ns.t }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}",
    "{% set x %}\n  hi {{ s }}\n{% endset %}[{{ x }}]",
    "{% set x | upper | trim %} hi {% endset %}[{{ x }}]",
    "{% macro m(a, b=2, *c) %}{% endmacro %}",
    "{% macro m(a, b='d') %}{{ a }}-{{ b }}|{{ varargs }}|{{ kwargs }}{% endmacro %}{{ m(1) }} {{ m(1, none, 3, x=4) }} {{ m(b=1, a=2) }}",
    "{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m() }}{{ m(1, 2) }}",
    "{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m(z=1) }}",
    "{% macro w(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call w('b') %}body {{ s }}{% endcall %}",
    "{% macro w(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) w([1, 2]) %}({{ i }}){% endcall %}",
    "{% macro f(n) %}{% if n > 1 %}{{ n * (f(n - 1) | int) }}{% else %}1{% endif %}{% endmacro %}{{ f(6) }}",
    "{% macro show() %}{{ s }}{{ inner }}{% endmacro %}{% set inner = 'late' %}{{ show() }}",
    "{% filter upper | replace('O', '0') %}{{ s }}{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% raw %}{{ not }} {% run %}{% endraw %}!",
    "a {%- raw -%} {{ x }} {%- endraw %} b",
    "{# c #}a{#- c -#} b {# c\n#}\nc",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%+ if true %}\n  b\n  {%- endif -%}\n c\n\n",
    "a {%- if true -%} b {%- endif -%} c",
    "{{ 'a' -}}  \n b {{- 'c' }}",
    "x\n  {{ s }}\n  y",
    "{% if true +%}\nx{% endif %}",
    "  {# comment #}\nnext",
    "{% if nothing %}1{% elif yes %}2{% else %}3{% endif %}",
    "{% if messages[0]['role'] == 'system' and not tools %}ok{% endif %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for m in messages %}{% for t in m.tags %}{{ loop.index }}{{ t }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for a, b in [(1,)] %}{% endfor %}",
    "{% for c in 'a😀b' %}{{ c }}.{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in nothing %}{% endfor %}",
    "{% for x in undefined_thing %}{% else %}e{% endfor %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}",
    "{% set j = joiner(', ') %}{% for i in nums %}{{ j() }}{{ i }}{% endfor %}",
    "{% for role, group in messages | groupby('role') %}{{ role }}:{{ group | length }} {% endfor %}",
    "{% for g in messages | groupby('role') %}{{ g.grouper }}:{{ g.list | length }} {% endfor %}",
    "{% block title %}T{{ s }}{% endblock %}",
    "{% block title %}T{% endblock title %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% foo %}",
    "{% if true %}",
    "{% for x in %}{% endfor %}",
    "{{ }}",
    "{{ a b }}",
    "{{ 'unclosed }}",
    "{{ (1 }}",
    "{{ [1, 2 }}",
    "{% endif %}",
    "{{ 1 +  }}",
    "{# unclosed",
    "{% raw %}unclosed",
    "{% set true = 1 %}",
    "{% set d.x = 1 %}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{% for i in range(3) %}{{ loop.cycle('odd', 'even') }} {% endfor %}",
    "{{ messages[0] }}",
    "{{ messages[1].content }}",
    "{{ caller }}",
    "{% set loop = 5 %}{% for i in [1] %}{{ loop.index }}{% endfor %}{{ loop }}",
    "{% generation %}a{{ s }}{% endgeneration %}b",
    "{%- generation -%}  a  {%- endgeneration -%}  b",
    "{% autoescape false %}{{ '<' }}{% endautoescape %}",
    "\n\nx\n\n",
    "a\r\nb\rc",
    "{{ {'a': 1}['a'] }}{{ {'}}': 1} }}",
    "{{ '{{ x }}' }}{{ '%}' }}",
    "{% set x = {'a': {'b': 1}} %}{{ x.a.b }}",
    "{%if yes%}x{%endif%}",
    "{%- for message in messages -%}\n  {%- if message.role == 'user' -%}\n    U: {{ message.content | trim }}\n  {%- endif -%}\n{%- endfor -%}",
]


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
env.globals["strftime_now"] = lambda format: NOW.strftime(format)


def run(template):
    try:
        return {"template": template, "rendered": env.from_string(template).render(**DATA)}
    except Exception as error:
        return {"template": template, "error_type": type(error).__name__, "error": str(error)}


cases = [run("{{ " + expression + " }}") for expression in EXPRESSIONS] + [run(template) for template in TEMPLATES]
print(json.dumps({"jinja2": jinja2.__version__, "now": NOW.isoformat(), "data": DATA, "cases": cases}, ensure_ascii=False, indent=0))
