"""Templates that attack the sandbox or never end, by the kind of attack, and harmless ones that have to work."""

# ruff: noqa: E501 - a template is read more easily in one line

from __future__ import annotations

PICKLE = r"cposix\nmkdir\n(S'CANARY'\ntR."
CHAINS = (
    "__class__", "__class__.__mro__", "__class__.__base__.__subclasses__()", "__init__.__globals__", "__dict__", "__doc__",
    "__reduce_ex__(2)", "__getattribute__('x')", "__class__.mro()", "__module__",
)  # fmt: skip
"""What leads from an object to its class, and from there to everything."""
OBJECTS = (
    "prompt", "category", "draft", "draft.clip_seconds", "references", "references[0]", "references[0].title", "''", "[]",
    "()", "{}", "1", "1.5", "true", "none", "range", "range(3)", "dict", "namespace", "namespace()", "cycler",
    "cycler(1)", "joiner", "joiner()", "self", "self.user", "''.upper", "[].count", "{}.items()", "references.index",
    "(references | map('upper'))", "(references | groupby('tag'))[0]", "(1, 2)[:1]", "dict[1:2]", "('' | escape)",
)  # fmt: skip
"""What a template can name."""

ESCAPES = [f"{{{{ {what}.{chain} }}}}" for what in OBJECTS for chain in CHAINS]
ESCAPES += [f"{{{{ {what}['{name}'] }}}}" for what in OBJECTS for name in ("__class__", "__init__", "__globals__")]
ESCAPES += [f"{{{{ {what} | attr('{name}') }}}}" for what in OBJECTS for name in ("__class__", "__init__")]
ESCAPES += [f"{{{{ [{what}] | map(attribute='__class__') | list }}}}" for what in OBJECTS]
ESCAPES += [
    # objects that were handed over before, and their methods
    f'{{{{ draft.parse_raw("{PICKLE}", proto="pickle", allow_pickle=true) }}}}',
    "{{ draft.parse_file('/etc/passwd') }}", "{{ draft.parse_obj({}) }}", "{{ draft.model_construct() }}",
    "{{ draft.copy() }}", "{{ draft.model_dump() }}", "{{ draft.model_fields }}", "{{ draft.json() }}", "{{ draft.schema() }}",
    "{{ references[0].video }}", "{{ references[0].video.read_text() }}", "{{ references[0].video.unlink() }}",
    "{{ references.append(1) }}", "{{ references.clear() }}", "{{ draft.update({}) }}", "{{ draft.pop('clip_seconds') }}",
    "{{ {}.setdefault(1, 2) }}", "{{ [].extend([1]) }}", "{{ dict.fromkeys([1]) }}", "{{ [].sort() }}",
    # format strings
    "{{ '{0.__class__}'.format(prompt) }}", "{{ '{0[__class__]}'.format(draft) }}", "{{ 'x{0}'.format_map({}) }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(cycler) }}", "{{ ('{0.__class__}' | escape).format(prompt) }}",
    "{{ ['{0.__class__}'] | map('format', prompt) | map('format') | first | attr('format') }}",
    "{{ '{0.__class__}' | attr('format') }}", "{% set f = '{0.__class__}'.format %}{{ f(prompt) }}",
    "{{ ['{0.__class__}'.format] | first }}", "{{ ('{0.__class__}'.format, prompt) | map('string') | list }}",
    "{{ prompt.translate({}) }}", "{{ prompt.encode() }}", "{{ prompt.maketrans('a', 'b') }}",
    "{{ 'x'.join.__self__ }}", "{{ ''.upper.__self__.__class__ }}",
    # names that Jinja makes
    "{{ self._TemplateReference__context }}", "{{ self.__init__ }}", "{{ self._TemplateReference__context.environment }}",
    "{{ lipsum.__globals__ }}", "{{ lipsum() }}", "{{ get_flashed_messages }}", "{{ config }}", "{{ request }}",
    "{{ url_for.__globals__ }}", "{{ __builtins__ }}", "{{ _ }}", "{{ environment }}", "{{ context }}", "{{ caller }}",
    "{{ cycler.__init__.__globals__.os.mkdir('CANARY') }}", "{{ joiner.__init__.__globals__.os.mkdir('CANARY') }}",
    "{{ namespace.__init__.__globals__.os.mkdir('CANARY') }}", "{{ self.__init__.__globals__.os.mkdir('CANARY') }}",
    "{{ cycler.__init__.__globals__['o' ~ 's'].mkdir('CANARY') }}", "{{ cycler(1).items.append(2) }}",
    "{{ (cycler | attr('__init__') | attr('__globals__'))['os'].mkdir('CANARY') }}",
    "{% set ns = namespace() %}{{ ns._Namespace__attrs }}", "{% set ns = namespace(__class__=1) %}{{ ns.__class__ }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}{{ ns.__class__.x }}",
    "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}", "{% for x in [1] %}{{ loop._iterator }}{% endfor %}",
    "{% for x in [1] %}{{ loop._recurse }}{% endfor %}", "{% for x in [1] %}{{ loop._undefined }}{% endfor %}",
    "{% for x in [1] %}{{ loop.cycle.__func__.__globals__ }}{% endfor %}",
    "{% for x in [1] %}{{ loop.cycle.__self__ }}{% endfor %}", "{% for x in [1] %}{{ loop._iterable }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__globals__ }}", "{% macro m() %}{% endmacro %}{{ m.__call__.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m._func }}", "{% macro m() %}{% endmacro %}{{ m._environment }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}", "{% macro m() %}{% endmacro %}{{ m['_environment'] }}",
    "{% macro m() %}{{ caller.__class__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{{ varargs.__class__ }}{% endmacro %}{{ m(1) }}",
    "{% macro m() %}{{ kwargs.__class__ }}{% endmacro %}{{ m(a=1) }}",
    "{{ self.user.__call__ }}", "{{ self.user._context }}", "{{ self.user.super._stack }}",
    "{% import 'parts.j2' as parts %}{{ parts._body_stream }}", "{% import 'parts.j2' as parts %}{{ parts.__class__ }}",
    "{% import 'parts.j2' as parts %}{{ parts.__init__.__globals__ }}", "{% import 'parts.j2' as parts %}{{ parts.m._func }}",
    "{% import 'parts.j2' as parts %}{{ parts['__dict__'] }}", "{% from 'parts.j2' import m %}{{ m.__class__ }}",
    "{{ missing.__class__ }}", "{{ draft.missing.__class__ }}", "{{ (draft.missing)._undefined_obj }}",
    "{{ (draft.missing | default('')).__class__ }}", "{% set x = draft.missing %}{{ x._undefined_exception }}",
    # filters that reach attributes, build markup, draw at random or look into objects
    "{{ prompt | attr('__class__') }}", "{{ prompt | attr('format') }}", "{{ draft | attr('__init__') }}",
    "{{ references | map(attribute='video') | list }}", "{{ references | map('attr', '__class__') | list }}",
    "{{ references | map(attribute='title.__class__') | list }}", "{{ references | sort(attribute='__class__') }}",
    "{{ references | groupby('__class__') }}", "{{ references | selectattr('__class__', 'defined') | list | first | pprint }}",
    "{{ references | sum(attribute='__class__') }}", "{{ references | unique(attribute='__class__') | list }}",
    "{{ references | max(attribute='__class__') }}", "{{ references | map(attribute='__init__.__globals__') | list }}",
    "{{ {'a>': 1} | xmlattr }}", "{{ {'x': prompt} | xmlattr }}", "{{ draft | pprint }}", "{{ references | random }}",
    "{{ prompt | urlize }}", "{{ prompt | wordwrap(1) }}", "{{ '<b>' | striptags }}", "{{ cycler | string }}",
    "{{ [cycler] | join }}", "{{ [range] | tojson }}", "{{ namespace | list }}", "{{ ['x'] | map(cycler) | list }}",
    "{{ ['x'] | map('no_such_filter') | list }}", "{{ ['__class__'] | map('attr', 'x') | list | first }}",
    # what is printed, joined or called though it is no data
    "{{ cycler }}", "{{ range }}", "{{ self }}", "{{ self.user }}", "{{ namespace(a=1) }}", "{{ ''.upper }}",
    "{{ cycler ~ '' }}", "{{ '%s' % cycler }}", "{{ '%s' % [cycler] }}", "{{ '%r' | format(cycler) }}", "{{ [self] }}",
    "{% macro m() %}{% endmacro %}{{ m }}", "{% for x in [1] %}{{ loop }}{% endfor %}", "{{ prompt() }}", "{{ draft() }}",
    "{{ (1)() }}", "{{ dict[1:2]() }}", "{{ (dict[1:2]).__origin__ }}", "{{ references[0]() }}", "{{ [].count.__call__(1) }}",
    "{{ 1 / 0 }}", "{{ prompt.nothing }}", "{% for x in cycler %}{% endfor %}x", "{% for x in 5 %}{% endfor %}x",
    # tags of extensions, and other files
    "{% do references.append(1) %}", "{% debug %}", "{% trans %}x{% endtrans %}", "{% break %}", "{% continue %}",
    "{% include '/etc/passwd' %}", "{% include '../outside/secret.txt' %}", "{% include ['/etc/passwd'] %}",
    "{% include prompt ignore missing %}", "{% include ('../outside/' ~ 'secret.txt') %}",
    "{% import '../outside/secret.txt' as x %}", "{% from '/etc/passwd' import x %}", "{% extends prompt %}",
]  # fmt: skip

GROW = "{%% set ns = namespace(x=%s) %%}{%% for i in range(100) %%}{%% set ns.x = %s %%}{%% endfor %%}{{ ns.x %s }}"
HEAVY = {
    "nested-loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops-of-text": "{% for a in range(99999) %}{% for b in range(99999) %}text{% endfor %}{% endfor %}",
    "loops-in-a-macro": "{% macro m() %}{% for a in range(99999) %}y{% endfor %}{% endmacro %}{% for a in range(99999) %}"
    "{{ m() }}{% endfor %}",
    "a-long-range": "{{ range(1000000000) | list | length }}",
    "a-recursive-macro": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "a-macro-without-end": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a-recursive-loop": "{% for a in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "a-block-of-itself": "{{ self.user() }}",
    "a-long-text": "{{ 'x' * 10000000000 }}",
    "a-long-list": "{{ ([0] * 10000000000) | length }}",
    "a-long-tuple": "{{ ((0,) * 10000000000) | length }}",
    "times-a-text": "{{ 10000000000 * 'x' }}",
    "a-large-number": "{{ 10 ** 10000000000 }}",
    "a-tower": "{{ 9 ** 9999 ** 9999 }}",
    "squares": GROW % ("9", "ns.x * ns.x", ""),
    "doubled-text": GROW % ("'xx'", "ns.x + ns.x", "| length"),
    "joined-text": GROW % ("'xx'", "ns.x ~ ns.x", "| length"),
    "doubled-lists": GROW % ("[1, 2]", "ns.x + ns.x", "| length"),
    "nested-lists": GROW % ("[1]", "[ns.x, ns.x]", ""),
    "compared-nests": "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
    "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
    "nests-in-nests": "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
    "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x in [ns.y] }}{{ ns.x is eq ns.y }}",
    "hashed-nests": GROW % ("(1, 2)", "(ns.x, ns.x)", "in {}"),
    "a-macro-that-doubles": "{% set ns = namespace(x='xx') %}{% macro m() %}{{ ns.x }}{{ ns.x }}{% endmacro %}"
    "{% for i in range(99) %}{% set ns.x = m() %}{% endfor %}",
    "a-set-block-that-doubles": "{% set ns = namespace(x='xx') %}{% for i in range(99) %}{% set y %}{{ ns.x }}{{ ns.x }}"
    "{% endset %}{% set ns.x = y %}{% endfor %}",
    "a-filter-block-that-doubles": "{% set ns = namespace(x='xx') %}{% macro m() %}{% filter replace('x', 'xx') %}{{ ns.x }}"
    "{% endfilter %}{% endmacro %}{% for i in range(99) %}{% set ns.x = m() %}{% endfor %}",
    "replace": "{% set a = 'a' * 1000000 %}{{ a.replace('a', a) | length }}",
    "replace-filter": "{% set a = 'a' * 1000000 %}{{ a | replace('a', a) | length }}",
    "replace-nothing": "{% set a = 'a' * 1000000 %}{{ a.replace('', a) | length }}",
    "join": "{% set a = 'a' * 1000000 %}{{ a.join([''] * 100000) | length }}",
    "join-filter": "{% set a = 'a' * 1000000 %}{{ ([''] * 100000) | join(a) | length }}",
    "join-of-many": "{% set a = 'a' * 1000000 %}{{ ([a] * 100000) | join | length }}",
    "join-of-a-stream": "{% set a = 'a' * 1000000 %}{{ ([a] * 100000) | map('upper') | join(a) | length }}",
    "strip": "{% set a = 'a' * 1000000 %}{{ a.strip('b' * 1000000 + 'a') }}",
    "trim": "{% set a = 'a' * 1000000 %}{{ a | trim('b' * 1000000 + 'a') }}",
    "mapped": "{{ (['a' * 1000000] * 100000) | map('upper') | list | length }}",
    "shown": "{% set a = 'a' * 1000000 %}{{ [[a] * 1000] * 100 }}",
    "string": "{% set a = 'a' * 1000000 %}{{ ([[a] * 1000] * 100) | string | length }}",
    "percent": "{% set a = 'a' * 1000000 %}{{ ('%s' % [[a] * 1000] * 100) | length }}",
    "center": "{{ 'x' | center(10000000000) }}",
    "indent": "{{ 'x' | indent(10000000000, true) }}",
    "indent-of-lines": "{{ ('\\n' * 1000000) | indent(9999, true) | length }}",
    "indent-by-text": "{{ ('\\n' * 1000000) | indent('a' * 1000000, true) | length }}",
    "batch": "{{ [1] | batch(10000000000, 'x') | list | length }}",
    "slice": "{{ [1] | slice(10000000000) | list | length }}",
    "round": "{{ 1.5 | round(10000000000, 'floor') }}",
    "width": "{{ '%10000000000d' % 1 }}",
    "width-of-a-list": "{{ '%*d' % (1000000000, 1) }}",
    "precision": "{{ '%.1000000000f' % 1 }}",
    "named-width": "{{ '%(a b)1000000000s' % {'a b': 1} }}",
    "named-width-in-parentheses": "{{ '%((a))1000000000s' % {'(a)': 1} }}",
    "format-filter": "{{ '%1000000000d' | format(1) }}",
    "format-filter-of-two": "{{ '%*d' | format(1000000000, 1) }}",
    "sum-of-lists": "{{ ([[1] * 10000] * 1000) | sum(start=[]) | length }}",
    "tojson": "{% set a = 'a' * 1000000 %}{{ ([[a] * 1000] * 100) | tojson | length }}",
    "urlencode": "{% set a = '\u00e4' * 1000000 %}{{ ([['a', a]] * 1000) | urlencode | length }}",
    "slices-of-text": "{% set a = 'a' * 9000000 %}{% for i in range(99999) %}{% set b = a[1:] %}{% endfor %}",
    "loop-over-another": "{% set x = [[0] * 400000] * 100000 %}{% for a in x recursive %}{% if a %}{{ loop(a) }}{% endif %}{% endfor %}",
    "long-bodies": "{% for a in range(99999) %}" + "{% set c = prompt %}" * 3000 + "{% endfor %}",
    "long-macros": "{% macro m() %}"
    + "{% if prompt %}{% endif %}x" * 2000
    + "{% endmacro %}{% for a in range(99999) %}{% set b = m() %}{% endfor %}",
    "many-arguments": "{% macro m() %}{{ varargs | length }}{% endmacro %}{% set b = [0] * 400000 %}{% for a in range(99999) %}{{ m(*b) }}{% endfor %}",
    "lists-of-lists": "{% for a in range(99999) %}{% set b = [" + "[], " * 2000 + "] == 0 %}{% endfor %}",
    "named-many-times": "{% set a = 'a' * 1000000 %}{{ ('%(a)s' * 100000) % {'a': a} }}",
    "named-many-times-in-a-filter": "{% set a = 'a' * 1000000 %}{{ ('%(a)s' * 100000) | format(a=a) }}",
    "many-widths": "{{ ('%9999s' * 300000) % (('',) * 300000) }}",
    "format-of-a-list": "{{ ['%1000000000d'] | format(1) }}",
    "replace-in-a-list": "{% set a = 'a' * 1000000 %}{{ ([0] * 300000) | replace('0', a) }}",
    "tojson-indented": "{{ [1] | tojson(indent=2000000000) }}",
    "tojson-indented-by-text": "{{ ([0] * 100000) | tojson(indent='a' * 1000000) }}",
    "indent-of-other-lines": "{{ ('a\x0b' * 1000000) | indent(9999) }}",
    "join-of-a-mapping": "{% set a = 'a' * 1000000 %}{{ dict(range(50000) | map('string') | batch(2)) | join(a) }}",
    "numbers-of-text": "{{ ('f' * 800000) | int(base=16) }}",
    "hashes-that-collide": "{% set m = 2305843009213693951 %}{{ range(0, 99999 * m, m) | unique | list }}",
    "searches": "{{ ('a' * 4000000).rfind('ab' ~ 'a' * 2000000) }}",
    "characters": "{{ ('ж' * 24000000) | list | length }}",
    "words": "{{ ('ж ' * 12000000).split() | length }}",
    "titles": "{{ ('ж ' * 12000000) | title | length }}",
    "a-long-key": GROW % ("'xx'", "[ns.x, ns.x]", "") + "{{ 1[ns.x] }}",
    "included-lists": "{% include ['i0.j2'] %}",
    "many-includes": "{% include 'i0.j2' %}",
}

USUAL = [
    "{{ prompt | trim }} {{ prompt.upper() }} {{ prompt.split()[1] }} {{ prompt[2:5] }} {{ prompt | length }}",
    "{{ draft.title_max_chars }} {{ draft['clip_seconds'] }} {{ draft.title_max_chars // 7 }} {{ draft | length }}",
    "{{ '%d' % references[0].popularity }} {{ '%5.1f|%-8s|' % (2.25, 'a') }} {{ '%s and %s' | format('a', 1) }}",
    "{{ '%(a)s (%(b)05d)' % {'a': 1, 'b': 2} }} {{ 2 ** 10 }} {{ 7 % 4 }} {{ 7 / 2 }} {{ -3 * 2 }} {{ 'ab' * 3 }} {{ [1] * 2 }}",
    "{{ references | map(attribute='title') | join(', ') }} {{ references | selectattr('popular') | list | length }}",
    "{% for tag, some in references | groupby('tag') %}{{ tag }}: {{ some | map(attribute='id') | join }}; {% endfor %}",
    "{% for group in references | groupby('tag') %}{{ group.grouper }}{{ group.list | length }}{% endfor %}",
    "{{ references | sort(attribute='popularity', reverse=true) | map(attribute='id') | list }}",
    "{{ references | rejectattr('popular') | map(attribute='caption') | first }} {{ references | sum(attribute='popularity') }}",
    "{{ (references | max(attribute='popularity')).title }} {{ references[-1].description }} {{ references[:2] | length }}",
    "{% for one in references %}{{ loop.index }}/{{ loop.length }} {{ loop.cycle('a', 'b') }}{{ loop.changed(one.tag) }} "
    "{{ one.title }}{{ ', ' if not loop.last }}{% else %}none{% endfor %}",
    "{% for a in [1, [2, [3]]] recursive %}{{ loop(a) if a is sequence and a is not string else a }},{% endfor %}",
    "{% macro line(text='', n=1) %}{{ (text or '').split() | join(' ') or '(none)' }}{{ n }}{% endmacro %}{{ line(' a  b ') }}"
    "{{ line(n=2) }}",
    "{% macro box() %}[{{ caller() }}]{{ varargs }}{{ kwargs }}{% endmacro %}{% call box() %}inside{% endcall %}{{ box.name }}",
    "{% set seen = namespace(n=0) %}{% for i in range(3) %}{% set seen.n = seen.n + i %}{% endfor %}{{ seen.n }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{% set j = joiner('|') %}"
    "{{ j() }}{{ j() }}",
    "{% for key, value in draft.items() %}{{ key }}={{ value }};{% endfor %}{{ draft.get('no', 3) }}{{ draft | dictsort }}",
    "{% for key in draft.keys() %}{{ key }}{% endfor %}{{ draft | items | list }}{{ {'b': 1, 'a': 2} | tojson }}",
    "{{ prompt is string }} {{ category in ('Pets', 'Games') }} {{ 'cat' in prompt }} {{ references is iterable }} "
    "{{ nothing is defined }} {{ 3 is divisibleby 3 }} {{ 1 < 2 <= 2 != 3 }} {{ not true and 1 or 2 }}".replace("nothing", "draft.no"),
    "{% set x %}a{{ prompt }}b{% endset %}{{ x ~ 1 ~ none ~ 2.5 }}{% filter upper %}{{ x }}{% endfilter %}{{ x | replace('a', 'o') }}",
    "{{ 'a b c' | truncate(3, true, '') }} {{ 'x' | center(7) }}| {{ 'a\nb' | indent(2) }} {{ [3, 1, 2] | sort | reverse | list }}",
    "{{ [1, 2, 3, 4, 5] | batch(2, 0) | list }} {{ [1, 2, 3] | slice(2) | list }} {{ 3.14159 | round(2) }} {{ '7' | int + 1 }}",
    "{{ '<b>' | e }} {{ '<b>' | escape | upper }} {{ 'a' | default('b') }} {{ [1, 1, 2] | unique | list }} {{ 5 | abs }}",
    "{{ 'Mixed Case' | title | lower | capitalize }} {{ 'a b' | wordcount }} {{ 'a b' | urlencode }} {{ 10000 | filesizeformat }}",
    "{{ 'a-b-c'.partition('-')[2] }} {{ 'abc'.startswith('a') }} {{ ' x '.strip() }} {{ ', '.join(['a', 'b']) }} {{ 'aXb'.replace('X', '') }}",
    "{{ 'one' if prompt else 'two' }} {{ (1, 'a', [2.5]) }} {{ {'k': [1, none, true]} }} {{ ['a', 'b'] | join('/') | upper }}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{% raw %}{{ raw }}{% endraw %}{# comment #}{% if prompt == 'x' %}y{% endif %}z",
    "{% import 'parts.j2' as parts %}{{ parts.m() }}{% from 'parts.j2' import m as other %}{{ other() }}{{ parts.word }}",
    "{% include 'one.j2' %}{% include ['gone.j2', 'one.j2'] ignore missing %}",
]  # fmt: skip
