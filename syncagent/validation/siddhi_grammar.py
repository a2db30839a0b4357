"""The grammar of Siddhi 3 as data.

One rule per line: `name: alternatives`. Words in capitals are keywords and literals, quoted signs
stand for themselves, `?`, `*`, `|` and brackets are as everywhere. `name` and `id` are built in.

The language is that of the compiler of API-M 2.x and 3.x (`siddhi-query-compiler` 3.2.9), odd
corners included: a plan may have no statement, definitions come before queries, a stray character
is taken where a statement could be. Left out is what that compiler reads and then refuses always:
`outer join` alone, `not` without `and` in a pattern, `#` before what is defined, updated or deleted.
"""

RULES = """
plan: (plan_annotation | STRAY)* body? END
body: definition (';' definition)* (';' element)* ';'? | element (';' element)* ';'?
definition: STRAY | define_stream | define_table | define_window | define_function | define_trigger
define_stream: annotation* DEFINE STREAM attributes
define_table: annotation* DEFINE TABLE attributes
define_window: annotation* DEFINE WINDOW attributes call (OUTPUT events)?
define_function: DEFINE FUNCTION id '[' id ']' RETURN type SCRIPT
define_trigger: DEFINE TRIGGER id AT (EVERY time | TEXT)
attributes: name '(' attribute (',' attribute)* ')'
attribute: name type
element: STRAY | annotation* (query | partition)

plan_annotation: '@' PLAN ':' name settings?
annotation: '@' name settings?
settings: '(' setting (',' setting)* ')'
setting: (name ('.' name)* '=')? TEXT

partition: PARTITION WITH '(' split (',' split)* ')' BEGIN inner (';' inner)* ';'? END_WORD
inner: STRAY | annotation* query
split: range (OR range)* OF name | expression OF name
range: expression AS TEXT

query: FROM input selection? rate? output
input: join | sequence | pattern | stream | anonymous
stream: source handler* (window handler*)?
join: joined (UNIDIRECTIONAL join_word joined | join_word joined UNIDIRECTIONAL | join_word joined) (ON expression)? within?
joined: source handler* window? (AS name)?
join_word: (LEFT | RIGHT | FULL) OUTER JOIN | INNER? JOIN
pattern: link ('->' link)*
link: '(' pattern ')' within? | EVERY '(' chain ')' within? | EVERY state within? | state within?
chain: part ('->' part)*
part: '(' chain ')' within? | state within?
state: NOT event AND event | event (AND event | OR event | '<' count '>')?
sequence: EVERY? step within? ',' steps
steps: piece (',' piece)*
piece: '(' steps ')' within? | step within?
step: NOT event AND event | event (AND event | OR event | '<' count '>' | '*' | '?' | '+')?
event: name '=' source handler* | source handler*
count: INT (':' INT?)? | ':' INT
within: WITHIN time
anonymous: '(' anonymous ')' | FROM input selection? rate? RETURN events?
handler: '#'? '[' expression ']' | '#' call
window: '#' WINDOW '.' call

selection: SELECT ('*' | column (',' column)*) (GROUP BY reference (',' reference)*)? (HAVING expression)?
column: expression AS name | reference
rate: OUTPUT SNAPSHOT EVERY time | OUTPUT (ALL | LAST | FIRST)? EVERY (time | INT EVENTS)
output: INSERT events? INTO source | INSERT OVERWRITE change | DELETE change | UPDATE change | RETURN events?
change: name (FOR events)? ON expression
events: (ALL | EXPIRED) RAW? EVENTS | CURRENT? EVENTS

expression: operand (operator operand | IN name)*
operator: '*' | '/' | '%' | '+' | '-' | '>=' | '<=' | '>' | '<' | '==' | '!=' | AND | OR
operand: NOT* unit
unit: '(' expression ')' | call (IS NULL)? | place IS NULL | constant | reference (IS NULL)?
call: (name ':')? name '(' (expression (',' expression)* | '*')? ')'
place: '#'? name index?
reference: '#'? name index? ('#' name index?)? '.' name | name
index: '[' (INT | LAST ('-' INT)?) ']'
constant: TRUE | FALSE | ('-' | '+')? (DOUBLE | FLOAT | LONG) | time | ('-' | '+')? INT | TEXT

source: '#'? name
type: STRING | INT_WORD | LONG_WORD | FLOAT_WORD | DOUBLE_WORD | BOOL | OBJECT
time: year | month | week | day | hour | minute | second | millisecond
year: INT YEARS (month | week | day | hour | minute | second | millisecond)?
month: INT MONTHS (week | day | hour | minute | second | millisecond)?
week: INT WEEKS (day | hour | minute | second | millisecond)?
day: INT DAYS (hour | minute | second | millisecond)?
hour: INT HOURS (minute | second | millisecond)?
minute: INT MINUTES (second | millisecond)?
second: INT SECONDS millisecond?
millisecond: INT MILLISECONDS
"""

KEPT = frozenset(
    {"expression", "handler"}
    | {"annotation", "attribute", "column", "constant", "element", "inner", "partition"}
    | {"define_function", "define_stream", "define_table", "define_trigger", "define_window"}
    | {"selection", "setting", "split"}
)
"""The rules whose places are remembered: two that several alternatives at one place begin with, and
those that are looked up afterwards."""
