"""Meaning: what each check says, and nothing else."""

from collections.abc import Callable

import pytest

Findings = Callable[..., list[str]]

PROBE = "{name: p, probe: {connection: online}}"
LAND = "{name: land, ingest: {files: {path: x.csv}}, output: {table: bronze.a, mode: append}}"
SQL = "sql: {query: SELECT 1}, output: {table: silver.x}"


def stages(*items: str) -> str:
    return "stages:\n" + "".join(f"  - {item}\n" for item in items)


def table(text: str, mode: str = "overwrite") -> str:
    return f"tables:\n  - {{name: silver.a, {text}}}\n" + stages(
        f"{{name: s, sql: {{query: SELECT 1}}, output: {{table: silver.a, mode: {mode}}}}}"
    )


CASES = {
    # names
    "stage twice": (stages(PROBE, PROBE), ["the stage `p` stands twice: here and in line 6"]),
    "table twice": ("tables: [{name: silver.x}, {name: silver.x}]\n" + stages("{name: s, " + SQL + "}"), ["the table `silver.x` stands twice"]),
    "check twice": (table("checks: [{notNull: [a]}, {notNull: [a], where: b}]"), ["the check `notNull-a` stands twice: here and in line 6 (give one of them a `name`)"]),
    "column twice": (table("columns: [{name: a, type: long}, {name: A, type: long}]"), ["the column `A` stands twice"]),
    # inputs
    "input and inputs": (stages(LAND, "{name: s, input: {table: bronze.a}, inputs: [{table: bronze.a}], " + SQL + "}"), ["gives `input` and `inputs`"]),
    "table and file": (stages(LAND, "{name: s, input: {table: bronze.a, file: x.csv}, " + SQL + "}"), ["gives `table` and `file`"]),
    "neither table nor file": (stages("{name: s, input: {read: all}, " + SQL + "}"), ["gives neither `table` nor `file`"]),
    "file without a name": (stages("{name: s, input: {file: x.csv}, " + SQL + "}"), ["the file has no `name` (SQL needs one"]),
    "table with format": (stages(LAND, "{name: s, input: {table: bronze.a, format: csv}, " + SQL + "}"), ["`format` is for a file input; this is a table"]),
    "file with read": (stages("{name: s, input: {name: f, file: x.csv, read: new}, " + SQL + "}"), ["`read` is for a table input; this is a file"]),
    "format not told": (stages("{name: s, input: {name: f, file: x.dat}, " + SQL + "}"), ["suffix does not tell the format"]),
    "csv of parquet": (stages("{name: s, input: {name: f, file: x.parquet, csv: {skip: 1}}, " + SQL + "}"), ["`csv` is for files of format csv; these are parquet"]),
    "log without log": (stages("{name: s, input: {name: f, file: x.log}, " + SQL + "}"), ["log files need `log`"]),
    "log regex": (stages('{name: s, input: {name: f, file: x.log, log: {regex: "(a"}}, ' + SQL + "}"), ["is no regular expression (RE2): missing )"]),
    "log regex without names": (stages('{name: s, input: {name: f, file: x.log, log: {regex: "(a)"}}, ' + SQL + "}"), ["names no columns"]),
    "unknown table": (stages(LAND, "{name: s, input: {table: bronze.b}, " + SQL + "}"), ["nobody writes the table bronze.b (did you mean `bronze.a`?)"]),
    "unknown table, nothing near": (stages("{name: s, input: {table: gold.zzz}, " + SQL + "}"), ["nobody writes the table gold.zzz (write `external: true`"]),
    "external": (stages("{name: s, input: {table: gold.zzz, external: true}, " + SQL + "}"), []),
    "named in a trigger": ("triggers: [{assets: {any: [gold.zzz]}}]\n" + stages("{name: s, input: {table: gold.zzz}, " + SQL + "}"), []),
    "external and written here": (stages(LAND, "{name: s, input: {table: bronze.a, external: true}, " + SQL + "}"), ["bronze.a is written here, by stage `land`"]),
    "new of a table that is replaced": (stages("{name: s, " + SQL + "}", "{name: t, input: {table: silver.x, read: new}, sql: {query: SELECT 1}, output: {table: a.b}}"), ["`new` is for tables that are appended to; silver.x is written with mode overwrite"]),
    "partitions of a table without": (stages("{name: s, " + SQL + "}", "{name: t, input: {table: silver.x, read: changedPartitions}, sql: {query: SELECT 1}, output: {table: a.b}}"), ["silver.x has no `partitionBy`"]),
    # types
    "output needed": (stages("{name: s, sql: {query: SELECT 1}}"), ["`sql` needs an `output`"]),
    "output not there": (stages("{name: s, probe: {connection: online}, output: {table: a.b}}"), ["`probe` writes no table"]),
    "input not there": (stages(LAND, "{name: s, probe: {connection: online}, input: {table: bronze.a}}"), ["`probe` reads no input"]),
    "input needed": (stages("{name: s, clean: {trim: [a]}, output: {table: a.b}}"), ["`clean` needs an input"]),
    "too many inputs": (stages(LAND, "{name: s, clean: {trim: [a]}, inputs: [{table: bronze.a}, {name: f, file: x.csv}], output: {table: a.b}}"), ["`clean` reads one input, not 2"]),
    "table needed": (stages("{name: s, publish: {key: [a], prefix: x}, input: {name: f, file: x.csv}}"), ["`publish` reads a table, not a file"]),
    "quality cannot quarantine": (stages(LAND, "{name: s, quality: {checks: [{notNull: [a], onFail: quarantine}]}, input: {table: bronze.a}}"), ["cannot quarantine"]),
    "evaluate without train": (stages("{name: s, evaluate: {model: m}}"), ["evaluate is not runnable", "no stage trains the model `m`"]),
    "not runnable": (stages("{name: s, ingest: {http: {connection: online, path: /}}, output: {table: a.b}}"), ["warning spec.stages[0].ingest.http: ingest.http is not runnable by `adutora run` in this version", "of type sqlite (name one of type http)"]),
    "spark sql": (stages("{name: s, sql: {engine: spark, query: SELECT 1}, output: {table: a.b}}"), []),
    "fan-out overwrites": (stages("{name: s, forEach: {values: [1]}, " + SQL + "}"), ["each value would overwrite"]),
    "fan-out of text": (stages("{name: s, forEach: {values: a-$(run.date)}, probe: {connection: online}}"), ["is text, not a list"]),
    "fan-out of one value": (stages("{name: s, forEach: {values: $(run.date)}, probe: {connection: online}}"), ["$(run.date) is one value, not a list"]),
    "fan-out of a number": (stages("{name: s, forEach: {values: 5}, probe: {connection: online}}"), ["must be a list, or"]),
    # outputs
    "two publishers": (stages(LAND, "{name: s, publish: {key: [a], prefix: x}, input: {table: bronze.a}}", "{name: t, publish: {key: [a], prefix: x}, input: {table: bronze.a}}"), ["spec.stages[2].publish.prefix: the prefix x is published by stage `s` of default.x ("]),
    "two prefixes": (stages(LAND, "{name: s, publish: {key: [a], prefix: x}, input: {table: bronze.a}}", "{name: t, publish: {key: [a], prefix: z}, input: {table: bronze.a}}"), []),
    "two writers": (stages("{name: s, " + SQL + "}", "{name: t, " + SQL + "}"), ["spec.stages[1].output.table: silver.x is written by stage `s` of default.x"]),
    "merge without key": (table("description: x", "merge"), ["merge needs a `key` of silver.a (write under `tables`: {name: silver.a, key: [order_id]})"]),
    "merge with key": (table("key: [a]", "merge"), []),
    "partitions": (table("key: [a]", "overwritePartitions"), ["overwritePartitions needs a `partitionBy`"]),
    "merge's fields": (stages("{name: s, sql: {query: SELECT 1}, output: {table: a.b, latestBy: x}}"), ["`latestBy` is for mode merge; this is overwrite"]),
    "system table": (stages("{name: s, sql: {query: SELECT 1}, output: {table: a.b__rejected}}"), ["a.b__rejected is the system's"]),
    # tables
    "system column": (table("columns: [{name: _a, type: long}]"), ["`_a` begins with `_`"]),
    "type of another system": (table("columns: [{name: a, type: bigint}]"), ["'bigint' is no Delta type (did you mean `long`?)"]),
    "type misspelt": (table("columns: [{name: a, type: timestmp}]"), ["(did you mean `timestamp`?)"]),
    "decimal": (table('columns: [{name: a, type: "decimal(12,2)"}, {name: b, type: "decimal(39,2)"}, {name: c, type: decimal}]'), ["decimal(39,2) is no decimal type", "did you mean `decimal(18,2)`?"]),
    "key column": (table("key: [idd], columns: [{name: id, type: long}]"), ["silver.a has no column `idd` (did you mean `id`?)"]),
    "column of a check": (table("columns: [{name: amount, type: long}], checks: [{notNull: [amout]}, {unique: [zzz]}]"), ["error spec.tables[0].checks[0].notNull[0]: silver.a has no column `amout` (did you mean `amount`?)", "error spec.tables[0].checks[1].unique[0]: silver.a has no column `zzz` (one of `amount`)"]),
    "not written": ("tables: [{name: silver.y}]\n" + stages("{name: s, " + SQL + "}"), ["warning spec.tables[0].name: no stage of this pipeline writes silver.y (did you mean `silver.x`?)"]),
    "vacuum": (table("maintenance: {vacuum: 23h}"), ["23h is less than a day"]),
    "retention": (table("columns: [{name: a, type: long}], retention: {column: a, maxAge: 1d}"), ["`a` is a long (name a date or timestamp column)"]),
    # checks
    "bounds": (table("checks: [{range: {column: a, min: 2, max: 1}}, {rowCount: {}}, {range: {column: b, min: 1, max: x}}]"), ["min 2 is more than max 1", "has no bound", "one bound is text"]),
    "regex": (table('checks: [{pattern: {column: a, regex: "(?!x)"}}]'), ["is no regular expression (RE2): invalid perl operator"]),
    "quarantine of a table": (table("checks: [{rowCount: {min: 1}, onFail: quarantine}]"), ["there are no rows to quarantine"]),
    "check's sql": (table("checks: [{sql: SELECT 1 FORM x y}]"), ["the SQL does not parse"]),
    "check's statement": (table("checks: [{sql: DELETE FROM x}]"), ["must be one SELECT"]),
    "condition": (table('checks: [{notNull: [a], where: "a >"}]'), ["the SQL does not parse"]),
    "condition that breaks out": (table('checks: [{notNull: [a], where: "a) OR (b"}, {unique: [a], where: "a GROUP BY a"}, {unique: [b], where: "a; SELECT 1"}]'), ["does not parse", "does not parse", "is no condition"]),
    "references": (table("checks: [{references: {column: a, table: silver.b, to: id}}]"), ["nobody writes the table silver.b (did you mean `silver.a`?)"]),
    # columns
    "columns that stages name": ("tables: [{name: silver.a, columns: [{name: id, type: long}]}]\n" + stages("{name: s, sql: {query: SELECT 1}, output: {table: silver.a}}", "{name: p, input: {table: silver.a}, publish: {key: [idd], columns: [ID, zzz, _loaded_at], prefix: x}}", "{name: c, input: {table: silver.a}, clean: {trim: [a], dropNulls: [b], dropDuplicates: {by: [id, c]}, outliers: {columns: [d]}}, output: {table: gold.x}}"), ["publish.key[0]: silver.a has no column `idd` (did you mean `id`?)", "publish.columns[1]: silver.a has no column `zzz` (one of `id`)", "clean.trim[0]", "clean.dropNulls[0]", "clean.dropDuplicates.by[1]", "clean.outliers.columns[0]: silver.a has no column `d`"]),
    "columns that may come": (table("schema: evolve, key: [amonut], partitionBy: [day], columns: [{name: amount, type: long}, {name: id, type: long}], checks: [{notNull: [zzz]}, {unique: [ammount]}]"), ["warning spec.tables[0].key[0]: silver.a describes no column `amonut` (did you mean `amount`?)", "warning spec.tables[0].checks[1].unique[0]"]),
    "latest by": (table("key: [id], columns: [{name: id, type: long}, {name: updated, type: timestamp}]", "merge, latestBy: updatd"), ["spec.stages[0].output.latestBy: silver.a has no column `updatd` (did you mean `updated`?)"]),
    "latest by the system's": (table("key: [id], columns: [{name: id, type: long}]", "merge, latestBy: _loaded_at"), []),
    "columns of a table that another writes": ("tables: [{name: bronze.x, columns: [{name: id, type: long}]}]\n" + stages("{name: p, input: {table: bronze.x, external: true}, publish: {key: [zzz], prefix: x}}"), ["warning spec.tables[0].name", "warning spec.stages[0].publish.key[0]: bronze.x describes no column `zzz`"]),
    "bounds of another type": (table("columns: [{name: k, type: long}, {name: d, type: date}, {name: t, type: string}, {name: b, type: boolean}, {name: m, type: 'decimal(9,2)'}, {name: x, type: timestamp}], checks: [{range: {column: k, min: a}, name: c1}, {range: {column: k, min: '1.5'}, name: c2}, {range: {column: d, min: 5}, name: c3}, {range: {column: d, min: '2026-01-01', max: '2026-13-01'}, name: c4}, {range: {column: t, min: 1}, name: c5}, {range: {column: m, max: 1.5}, name: c6}, {range: {column: x, min: '2026-01-01'}, name: c7}, {range: {column: b, min: 1}, name: c8}]"), ['checks[0].range.min: "a" cannot be compared with `k`, which is long (write a number)', 'checks[1].range.min: "1.5" cannot', 'checks[2].range.min: the number 5 cannot be compared with `d`, which is date (write for example "2026-01-31")', "checks[3].range.max", "checks[4].range.min: the number 1 cannot be compared with `t`, which is string (write a text, in quotes)", "checks[7].range.min"]),
    "values of another type": (table("columns: [{name: k, type: integer}, {name: b, type: boolean}], checks: [{acceptedValues: {column: k, values: [1, a, true]}}, {acceptedValues: {column: b, values: [true, 1]}}]"), ['values[1]: "a" cannot', "values[2]: true cannot", "checks[1].acceptedValues.values[1]: the number 1 cannot be compared with `b`, which is boolean (write true or false)"]),
    "a check's own table": (table('checks: [{sql: "WITH t AS (SELECT * FROM Silver.A) SELECT * FROM t WHERE x IN (SELECT y FROM silver.a)"}]'), []),
    "a check's inputs": (stages(LAND, "{name: s, inputs: [{table: bronze.a}, {name: F, file: x.csv}], sql: {query: SELECT 1}, output: {table: silver.a}}") + 'tables: [{name: silver.a, checks: [{sql: "SELECT * FROM silver.a, bronze.a, f"}]}]\n', []),
    "a check's other table": (table('checks: [{sql: "SELECT * FROM silver.a JOIN silver.b USING (id)"}, {sql: SELECT * FROM orders, name: b}]'), ["spec.tables[0].checks[0].sql: reads silver.b, which is not there in a check (a check sees silver.a alone; `references` looks into another table)", "reads orders"]),
    "a gate's other table": (stages(LAND, '{name: q, input: {table: bronze.a}, quality: {checks: [{sql: "SELECT 1 FROM bronze.b"}]}}'), ["reads bronze.b, which is not there in a check (a check sees bronze.a alone"]),
    "no time": ("timeout: 0s\n" + table("retention: {column: d, maxAge: 0d}, checks: [{freshness: {column: d, maxAge: 0h}}]") + "  - {name: p, input: {table: silver.a}, publish: {key: [k], prefix: x, ttl: 0s}}\n", ["spec.timeout: 0s is no time at all", "retention.maxAge: 0s is no time", "freshness.maxAge: 0s is no time at all", "publish.ttl: 0s is no time at all (write for example 7d, or leave it out: keys then stay)"]),
    "encodings": (stages("{name: s, input: {name: f, file: x.csv, csv: {encoding: utf9}}, " + SQL + "}", "{name: t, ingest: {files: {path: x.csv, csv: {encoding: base64}}}, output: {table: a.b}}", "{name: u, ingest: {files: {path: x.csv, csv: {encoding: ISO-8859-1}}}, output: {table: a.c}}"), ["input.csv.encoding: there is no encoding 'utf9' (did you mean utf-8?)", "ingest.files.csv.encoding: there is no encoding 'base64' (for example utf-8, latin-1, cp1252, utf-16)"]),
    # graph
    "unknown stage": (stages(PROBE, "{name: q, probe: {connection: online}, dependsOn: [pp]}"), ["there is no stage `pp` (did you mean `p`?)"]),
    "cycle": (stages("{name: a, probe: {connection: online}, dependsOn: [c]}", "{name: b, probe: {connection: online}, dependsOn: [a]}", "{name: c, probe: {connection: online}, dependsOn: [b]}"), ["stages wait for one another: a -> b -> c -> a"]),
    "cycle by data": (stages("{name: a, input: {table: s.b}, sql: {query: SELECT 1}, output: {table: s.a}}", "{name: b, input: {table: s.a}, sql: {query: SELECT 1}, output: {table: s.b}}"), ["stages wait for one another: a -> b -> a (here `a` reads s.b)"]),
    "cycle by an output": (stages("{name: a, python: {function: m:f, args: {x: $(stages.b.outputs.k)}}}", "{name: b, python: {function: m:f}, dependsOn: [a]}"), ["a -> b -> a (here `a` uses $(stages.b.outputs.k))"]),
    "waits for itself": (stages("{name: a, probe: {connection: online}, dependsOn: [a]}"), ["the stage `a` waits for itself"]),
    "watched stage": ("triggers: [{files: {stage: p}}, {files: {stage: lan}}]\n" + stages(PROBE, LAND), ["`p` reads no files that could be watched", "there is no stage `lan` (did you mean `land`?)"]),
    "watched stage that reads all": ("triggers: [{files: {stage: land}}]\n" + stages(LAND), ["warning spec.triggers[0].files.stage: `land` reads all files each time"]),
    "nothing can fail": (stages("{name: a, probe: {connection: online}, runIf: failed}"), ["depends on no stage"]),
    # references
    "unknown parameter": ("params: [{name: day}]\n" + stages("{name: s, sql: {query: 'SELECT $(params.day), $(params.days)'}, output: {table: a.b}}"), ["there is no parameter `days` (did you mean `day`?)"]),
    "unknown run value": (stages("{name: s, sql: {query: SELECT $(run.Date)}, output: {table: a.b}}"), ["a run has no `Date` (did you mean `date`?)"]),
    "unknown root": (stages("{name: s, sql: {query: SELECT $(env.HOME)}, output: {table: a.b}}"), ["$(env.HOME) leads nowhere: there is no `env`"]),
    "no outputs": (stages(PROBE, "{name: s, sql: {query: SELECT $(stages.p.outputs.x)}, output: {table: a.b}}"), ["the stage `p` gives no outputs: it is `probe`"]),
    "no outputs of a function that returns rows": (stages("{name: p, python: {function: 'm:f'}, output: {table: a.b}}", "{name: q, python: {function: 'm:f'}}", "{name: s, sql: {query: 'SELECT $(stages.p.outputs.x), $(stages.q.outputs.x)'}, output: {table: a.c}}"), ["the stage `p` gives no outputs: its function returns the rows of a.b"]),
    "unknown output": (stages("{name: h, http: {connection: h, path: /, outputs: {pages: $.p}}}", "{name: s, sql: {query: SELECT $(stages.h.outputs.page)}, output: {table: a.b}}"), ["`h` is not known", "the stage `h` has no output `page` (did you mean `pages`?)"]),
    "output of an unknown stage": (stages(PROBE, "{name: s, sql: {query: SELECT $(stages.q.outputs.x)}, output: {table: a.b}}"), ["there is no stage `q`"]),
    "item": (stages("{name: s, sql: {query: SELECT $(item)}, output: {table: a.b}}"), ["$(item) has a value only in a stage with `forEach`"]),
    "item in when": (stages("{name: s, forEach: {values: [1]}, when: $(item) == '1', probe: {connection: online}}"), ["$(item) has no value in `when`"]),
    "not closed": (stages('{name: s, python: {function: m:f, args: {a: "$(x"}}}'), ["$( is not closed"]),
    "nested": (stages("{name: s, python: {function: m:f, args: {a: $(params.$(x))}}}"), ["a $(…) inside another"]),
    "literal": (stages('{name: s, python: {function: m:f, args: {a: "$$(x", b: "$x"}}}'), []),
    "verbatim": (stages('{name: s, container: {image: x, args: ["$(date)", "$(run.date)"]}}'), ["$(run.date) may not stand here (values come in by `env`)"]),
    "prose": ("description: write $(date) here\nowner: $(run.id)\n" + stages("{name: s, description: $(x, probe: {connection: online}}"), ["spec.description: $(date) may not stand here (nothing is put into a description; write $$( for a literal $()", "spec.owner: $(run.id) may not", "spec.stages[0].description: $(x may not"]),
    "prose below": ("params: [{name: a, title: $(item)}]\nnotify: [{events: [failure], connection: hook, runbook: 'http://$(run.id)'}]\n" + table("owner: $(run.date), columns: [{name: a, type: long, description: a $(params.a) b}]"), ["nothing uses", "spec.params[0].title: $(item) may not", "`hook` is not known", "spec.notify[0].runbook: $(run.id) may", "spec.tables[0].owner", "spec.tables[0].columns[0].description: $(params.a) may"]),
    "prose with a literal": ("description: write $$(date) here\n" + stages(PROBE), []),
    "everywhere else": ("defaults: {timezone: $(params.z)}\ntags: [$(run.id)]\n" + stages(PROBE), ["$(params.z) may not stand here (write the value itself)", "there is no time zone", "spec.tags[0]: $(run.id) may not"]),
    "not closed hides nothing": (stages('{name: s, sql: {query: "SELECT $(params.x FROM $(params.nope) WHERE AND $(run.dat)"}, output: {table: a.b}}'), ["$( is not closed", "there is no parameter `nope`", "does not parse", "a run has no `dat`"]),
    "nothing named hides nothing": (stages('{name: s, python: {function: m:f, args: {a: "$(x + 1) $(params.$(y)) $(params.z) $(run.dat) $("}}}'), ["$(x + 1) names nothing", "inside another", "no parameter `z`", "no `dat`", "not closed"]),
    "a parameter that is used beside a mistake": ("params: [{name: a}]\n" + stages('{name: s, python: {function: m:f, args: {x: "$( $(params.a)"}}}'), ["not closed"]),
    "not in a condition": (table("checks: [{notNull: [a], where: a > $(run.date)}]"), ["$(run.date) may not stand here (only the `query` of a stage binds values)"]),
    "when": (stages("{name: s, when: a and b, probe: {connection: online}}"), ["is no condition (write `$(x)`"]),
    "when of a text": ("params: [{name: a}]\n" + stages("{name: s, when: $(params.a), probe: {connection: online}}"), ["$(params.a) is a string, neither true nor false"]),
    # sql
    "sql": (stages("{name: s, sql: {query: SELECT * FORM x WHERE y}, output: {table: a.b}}"), ["the SQL does not parse: syntax error"]),
    "no statement": (stages('{name: s, sql: {query: "-- x"}, output: {table: a.b}}'), ["has no statement"]),
    "last gives no rows": (stages("{name: s, sql: {query: CREATE TEMP TABLE t AS SELECT 1}, output: {table: a.b}}"), ["the last statement gives no rows: it is CREATE TEMP"]),
    "in quotes": (stages("{name: s, sql: {query: SELECT '$(run.date)'}, output: {table: a.b}}"), ["$(run.date) stands in quotes or in a comment"]),
    "in a comment": (stages('{name: s, sql: {query: "SELECT 1 -- $(run.date)"}, output: {table: a.b}}'), ["stands in quotes or in a comment"]),
    "foreign parameters": (stages('{name: s, sql: {query: "SELECT $a"}, output: {table: a.b}}', '{name: t, sql: {query: "SELECT ?"}, output: {table: a.c}}'), ["the parameter $a has no value", "the parameter ? has no value"]),
    "parameter of a view": (stages('{name: s, sql: {query: "CREATE TEMP VIEW v AS SELECT $(run.date); SELECT 1"}, output: {table: a.b}}'), ["cannot be bound in a view"]),
    "several statements": (stages('{name: s, sql: {query: "/* a */ CREATE OR REPLACE TEMP TABLE t AS SELECT $(run.date); SET VARIABLE x = 1; INSERT INTO t SELECT 2; FROM t"}, output: {table: a.b}}'), []),
    # schedule
    "cron": ("triggers: [{cron: 61 * * * *}]\n" + stages(PROBE), ["is no cron expression: Bad minute"]),
    "cron fields": ("triggers: [{cron: 0 0 * * * *}]\n" + stages(PROBE), ["has 6 fields instead of 5"]),
    "cron preset": ("triggers: [{cron: '@dayly'}]\n" + stages(PROBE), ["@dayly is no preset (did you mean @daily?)"]),
    "two crons": ("triggers: [{cron: '@daily'}, {cron: '@hourly'}]\n" + stages(PROBE), ["is a second cron"]),
    "zone": ("triggers: [{cron: '@daily', timezone: America/Sao_Paolo}]\ndefaults: {timezone: ../etc}\n" + stages(PROBE), ["(did you mean America/Sao_Paulo?)", "there is no time zone '../etc'"]),
    "day": ("triggers: [{cron: '@daily', startDate: '2026-02-30'}]\n" + stages(PROBE), ["there is no day 2026-02-30"]),
    "fields of another trigger": ("triggers: [{assets: {any: [a.b]}, catchup: true}, {cron: '@daily', minInterval: 1h}]\n" + stages(PROBE), ["`catchup` goes with `cron`; this trigger is `assets`", "`minInterval` goes with `assets`"]),
    # parameters
    "default's type": ("params: [{name: a, type: integer, default: '5'}]\n" + stages("{name: s, when: $(params.a) == '5', probe: {connection: online}}"), ['"5" is no integer']),
    "default is no whole number": ("params: [{name: a, type: boolean, default: 1}]\n" + stages("{name: s, when: $(params.a), probe: {connection: online}}"), ["the number 1 is no boolean"]),
    "default's rules": ("params: [{name: a, default: x, pattern: '[0-9]+'}, {name: b, default: c, enum: [d]}, {name: c, type: number, default: 5, max: 4}, {name: d, type: date, default: 1.1.2026}]\n" + stages("{name: s, python: {function: m:f, args: {a: $(params.a)$(params.b)$(params.c)$(params.d)}}}"), ["does not match the pattern [0-9]+", "is none of the values of `enum`", "5 is more than max 4", "is no date"]),
    "rules of other types": ("params: [{name: a, type: integer, pattern: x}, {name: b, min: 1}]\n" + stages("{name: s, python: {function: m:f, args: {a: $(params.a)$(params.b)}}}"), ["`pattern` is for a string; this is integer", "`min` is for a number"]),
    "pattern that would hang": ("params: [{name: a, default: " + "a" * 60 + "!, pattern: (a+)+}]\n" + stages("{name: s, python: {function: m:f, args: {a: $(params.a)}}}"), ["does not match the pattern"]),
    "unused": ("params: [{name: a}]\n" + stages(PROBE), ["warning spec.params[0].name: nothing uses the parameter `a`"]),
    # paths
    "paths": (stages("{name: a, input: {name: f, file: ../x.csv}, sql: {query: SELECT 1}, output: {table: a.a}}", "{name: b, ingest: {files: {path: /etc/x.csv}}, output: {table: a.b}}", "{name: c, ingest: {files: {path: data/../../x.csv}}, output: {table: a.c}}", "{name: d, ingest: {files: {path: 's3://b/x.csv'}}, output: {table: a.d}}", "{name: e, ingest: {files: {path: '..\\x.csv'}}, output: {table: a.e}}"), ["leaves the pipeline's folder", "is an absolute path", "leaves the pipeline's folder", "is a URL", "leaves the pipeline's folder"]),
    "paths with values": ("params: [{name: f}]\n" + stages("{name: a, input: {name: f, file: $(params.f)}, sql: {query: SELECT 1}, output: {table: a.a}}", "{name: b, input: {name: f, file: $(params.f)/../x.csv}, sql: {query: SELECT 1}, output: {table: a.b}}"), ["spec.stages[1].input.file: leaves the pipeline's folder"]),
    # limits
    "memory": (stages("{name: p, probe: {connection: online}, resources: {memory: 2Gi, maxMemory: 1Gi}}"), ["maxMemory 1Gi is less than memory 2Gi"]),
    "spark conf": (stages("{name: p, spark: {app: x.py, conf: {spark.hadoop.fs.s3a.secret.key: x, spark.sql.shuffle.partitions: '8'}}}"), ["spark.hadoop.fs.s3a.secret.key may not be set here"]),
    "spark sql refused": (stages("{name: s, sql: {engine: spark, query: SELECT foo(1) AS a}, output: {table: a.b}}"), ["cannot run on Spark: the function foo() is not translated to Spark"]),
    "executors without spark": (stages("{name: s, sql: {query: SELECT 1, executors: {min: 1}, conf: {}}, output: {table: a.b}}"), ["executors: belongs to `engine: spark`", "conf: belongs to `engine: spark`"]),
    "meaning of sql": (stages("{name: s, sql: {engine: spark, query: SELECT 1, conf: {spark.sql.ansi.enabled: 'false'}}, output: {table: a.b}}"), ["would change what the statement means"]),
    "spark app": (stages("{name: p, spark: {app: ../x.py}}", "{name: q, spark: {app: x.sh}}", "{name: r, spark: {app: /opt/apps/x.py}}", "{name: s, spark: {app: s3://b/x.py}}"), ["leaves the pipeline's folder", "is no Python file", "is a URL"]),
    "executors": (stages("{name: p, spark: {app: x.py, executors: {min: 3, max: 2}}}"), ["min is more than max"]),
    "no project": (stages("{name: p, probe: {connection: web}, profile: large}"), ["warning spec.stages[0].probe.connection: the connection `web` is not known: no adutora.yaml", "warning spec.stages[0].profile"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_finding_and_no_other(name: str, findings: Findings) -> None:
    text, expected = CASES[name]
    found = findings(text)
    assert len(found) == len(expected), found
    for one, part in zip(found, expected, strict=True):
        assert part in one


@pytest.mark.parametrize("statement", [
    "ATTACH 'x.db'", "COPY t TO 'x'", "INSTALL httpfs", "LOAD httpfs", "PRAGMA database_list", "SET memory_limit='1GB'",
    "CREATE TABLE t AS SELECT 1", "CREATE SECRET s (TYPE s3)", "EXPORT DATABASE 'x'", "CALL pragma_version()", "USE x",
    "DETACH x", "BEGIN", "SELECT 1", "EXPLAIN SELECT 1", "CHECKPOINT", "PREPARE x AS SELECT 1", "RESET threads",
])  # fmt: skip
def test_statements_that_may_not_stand(statement: str, findings: Findings) -> None:
    text = f"stages:\n  - name: s\n    sql:\n      query: |\n        -- é first\n        {statement};\n        SELECT 1\n    output: {{table: a.b}}"
    found = findings(text)
    assert len(found) == 1
    assert "may not stand here" in found[0]


def test_the_place_of_a_mistake_in_sql(check: Callable[..., object]) -> None:
    found = check("""
        params: [{name: day, type: date}]
        stages:
          - name: s
            sql:
              query: |
                SELECT 'é 😀' AS a, $(params.day) AS day
                FROM x
                WHERE day = $(params.day) AND AND b
            output: {table: a.b}
    """).diagnostics  # type: ignore[attr-defined]
    assert [(each.line, each.column) for each in found] == [(12, 41)]


PROJECT = """
limits: {timeout: 1h, retries: 2, resources: {memory: 2Gi, cpu: "1"}, images: ["ok.io/*"]}
profiles: [{name: large}]
connections:
  - {name: web, http: {baseUrl: "http://x"}}
  - {name: shop, postgres: {host: h, database: d}}
"""


def test_what_a_project_knows_and_allows(findings: Findings) -> None:
    found = findings(
        """
        defaults: {timeout: 2h, profile: lrge}
        notify: [{events: [failure], connection: web}]
        stages:
          - {name: a, probe: {connection: wbe}, retries: 3, resources: {memory: 3Gi, maxMemory: 4Gi, cpu: 1500m}}
          - {name: b, http: {connection: shop, path: "http://x/y"}, profile: large, timeout: 1h}
          - {name: c, container: {image: evil.io/ok.io/x, connections: [web, shp]}}
          - {name: d, container: {image: ok.io/x:1}}
          - {name: e, probe: {connection: online}, timeout: 0s}
        """,
        PROJECT,
    )
    expected = [
        "2h is more than the Project allows (at most 1h)", "there is no profile `lrge` (did you mean `large`?)",
        "`web` is of type http (name one of type slack, webhook or smtp)",
        "no connection `wbe` (did you mean `web`?)", "3 is more than", "3Gi is more than", "4Gi is more than",
        "1500m is more than", "`shop` is of type postgres (name one of type http)", "is a whole URL",
        "does not allow the image evil.io/ok.io/x (allowed are ok.io/*)", "no connection `shp` (did you mean `shop`?)",
        "is no time at all",
    ]  # fmt: skip
    assert len(found) == len(expected), found
    for one, part in zip(found, expected, strict=True):
        assert part in one


def test_a_project_is_checked_too(findings: Findings) -> None:
    found = findings(
        stages("{name: a, probe: {connection: db}}"),
        """
        lake: {root: "s3://x", connection: s, layers: [{name: gold, root: a}, {name: gold, root: b}]}
        defaults: {timezone: Brasil/East, profile: none, timeout: 2h}
        limits: {timeout: 1h}
        notify: [{events: [failure], connection: web}]
        catalog: {connection: web}
        connections:
          - {name: web, http: {baseUrl: "http://x"}}
          - {name: web, http: {baseUrl: "http://x"}}
          - {name: db, postgress: {}}
        """,
    )
    expected = [
        "the layer `gold` stands twice", "(did you mean Brazil/East?)", "no profile `none`", "2h is more than",
        "name one of type slack, webhook or smtp", "name one of type glue or unity", "the connection `web` stands twice",
        "unknown field `postgress` (did you mean `postgres`?)",
    ]  # fmt: skip
    assert len(found) == len(expected), found
    for one, part in zip(found, expected, strict=True):
        assert part in one


def test_addresses_of_a_project(findings: Findings) -> None:
    urls = [
        "ftp://x",
        "api.example.com",
        "http://",
        "http://u:p@x/",
        "https://x/?a=1",
        "http://x:99999",
        "https://x/v1",
        "http://[::1",
    ]
    connections = "".join(
        f"\n  - {{name: c{n}, http: {{baseUrl: '{url}', timeout: {n}s}}}}" for n, url in enumerate(urls)
    )
    found = findings(
        stages(PROBE),
        "lake: {root: 'gs://b/x', layers: [{name: gold, root: 's3://b/x'}, {name: silver, root: 's3://'}, "
        "{name: bronze, root: 'file:///x'}, {name: raw, root: /srv/x}, {name: cold, root: 'abfss://x@y/z'}]}\n"
        "connections:" + connections,
    )
    expected = [
        "spec.lake.root: gs:// is no place for a lake (write a folder, or s3://bucket/path)",
        "spec.lake.layers[1].root: names no bucket", "spec.lake.layers[4].root: abfss:// is no place",
        "connections[0].http.baseUrl: ftp://x is no http:// or https:// address (write for example https://",
        "connections[0].http.timeout: 0s is no time at all", "api.example.com is no http", "connections[2].http.baseUrl",
        "holds more than scheme, host and path", "holds more", "is no URL", "is no URL",
    ]  # fmt: skip
    assert len(found) == len(expected), found
    for one, part in zip(found, expected, strict=True):
        assert part in one


def test_many_findings_end(findings: Findings) -> None:
    names = ", ".join(f"z{n}" for n in range(100))
    found = findings(
        stages(*(f"{{name: s{n}, probe: {{connection: online}}, dependsOn: [{names}]}}" for n in range(5)))
    )
    assert len(found) == 201
