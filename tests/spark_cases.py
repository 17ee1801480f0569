"""What DuckDB and Spark must agree on: a table of all types, expressions over it, and whole statements."""

# One row holds one value of everything; then nulls, zeros, negatives, the smallest and the greatest, and odd texts.
TABLE = """
CREATE TABLE t AS SELECT
    CAST(id AS INTEGER) AS id, CAST(i AS INTEGER) AS i, CAST(b AS BIGINT) AS b, CAST(d AS DOUBLE) AS d,
    CAST(m AS DECIMAL(12,2)) AS m, s, CAST(f AS BOOLEAN) AS f, CAST(day AS DATE) AS day, CAST(ts AS TIMESTAMP) AS ts,
    CAST(z AS TIMESTAMPTZ) AS z, l
FROM (VALUES
    (1, 7, 3000000000, 2.5, 1234.56, 'São Paulo', true, '2024-02-29', '2024-02-29 23:59:59.123456', '2024-02-29 23:59:59+00', [1, 2, NULL]),
    (2, -7, -2, -2.5, -0.01, 'a\\b_c%d', false, '2023-12-31', '2023-12-31 00:00:00', '2023-12-31 12:00:00+05', [3]),
    (3, 0, 0, 0.0, 0.00, '', NULL, '1999-01-01', '1999-01-01 08:30:15', '1999-01-01 08:30:15-03', []),
    (4, NULL, NULL, NULL, NULL, NULL, true, NULL, NULL, NULL, NULL),
    (5, 2, 2, 3.5, 10.00, ' a,b,c ', false, '2024-03-01', '2024-03-01 06:00:00', '2024-03-01 06:00:00+00', [5, 5]),
    (6, 2147483647, 9223372036854775807, 1e300, 9999999999.99, 'it''s "quoted"', true, '2024-12-30', '2024-12-30 18:45:00', '2024-12-30 18:45:00+00', [NULL]),
    (7, 3, 5, 0.1, 0.05, '日本語 text', false, '2020-01-06', '2020-01-06 01:02:03', '2020-01-06 01:02:03+00', [1, 2, 3])
) AS v(id, i, b, d, m, s, f, day, ts, z, l)
"""
OTHER = """
CREATE TABLE u AS SELECT CAST(id AS INTEGER) AS id, name, CAST(score AS DOUBLE) AS score
FROM (VALUES (1, 'one', 1.5), (2, 'two', NULL), (2, 'zwei', 2.5), (9, 'nine', 9.0)) AS v(id, name, score)
"""

# Expressions over one row of `t`.
SCALARS = {
    "arithmetic": """
        b + 1.5 | i - 1 | b - 1.5 | (i % 100) * 2 | -d | m * 2 | m + 1.25 | m - m | d * m | i + b / 2 | abs(i) | abs(m) | sign(d)
    """,
    "division": """
        i / 2 | i / 0 | d / 0 | m / 3 | b / i | 1 / 3 | i % 4 | -7 % 3 | i // 2 | -7 // 2 | m / m | 0 / 0
    """,
    "rounding": """
        round(d) | round(m, 1) | round(d, 1) | ceil(d) | floor(d) | ceil(m) | floor(m) | round(-2.5, 0) | sqrt(abs(i))
        | exp(0) | ln(abs(i)) | ln(d) | log10(100) | log2(8) | pow(i, 2) | i ^ 2 | pi() | greatest(i, 1) | least(i, 1)
        | isnan(d) | round(sin(i), 9) | round(cos(i), 9) | round(tan(i), 6)
    """,
    "casts": """
        CAST(d / 1e299 AS DECIMAL(38,2)) | CAST(m AS DOUBLE) | CAST(m AS BIGINT) | CAST(2.5 AS INTEGER) | CAST(2.5e0 AS INTEGER)
        | CAST(3.5e0 AS BIGINT) | CAST(-2.5 AS INTEGER) | CAST(i AS VARCHAR) | CAST(m AS VARCHAR) | CAST(f AS VARCHAR)
        | CAST(day AS VARCHAR) | CAST(ts AS VARCHAR) | CAST(ts AS DATE) | CAST(day AS TIMESTAMP) | TRY_CAST(s AS INTEGER)
        | TRY_CAST(s AS DATE) | CAST('12' AS INTEGER) | '2024-01-31'::DATE | CAST(f AS INTEGER) | CAST(1 AS BOOLEAN)
        | TRY_CAST(s AS DOUBLE) | CAST(i AS DECIMAL) | CAST(i AS HUGEINT) | CAST('2020-01-01 10:00:00+02' AS TIMESTAMP)
        | CAST(z AS TIMESTAMP) | CAST(ts AS TIMESTAMPTZ) | CAST('2020-01-01 10:00:00+02' AS TIMESTAMPTZ)
        | TRY_CAST(i AS SMALLINT) | TRY_CAST(d AS INTEGER) | TRY_CAST(d AS BIGINT)
    """,
    "texts": """
        upper(s) | lower(s) | trim(s) | ltrim(s) | rtrim(s) | trim(s, ' a') | length(s) | substr(s, 2) | substr(s, 2, 3)
        | substring(s, -3) | left(s, 2) | right(s, 2) | replace(s, 'a', 'x') | reverse(s)
        | repeat(s, 2) | lpad(s, 12, '*') | rpad(s, 3, '*') | starts_with(s, 'a') | ends_with(s, 'd')
        | contains(s, ',') | strpos(s, 'a') | instr(s, 'b') | position('a' IN s) | split_part(s, ',', 2)
        | string_split(s, ',') | concat(s, i, f) | concat_ws('-', s, i, NULL) | s || '!' | i || s | ascii(s) | chr(65)
        | prefix(s, 'a') | suffix(s, 'd') | strlen(s) | md5(s) | sha256(s) | translate(s, 'abc', 'xyz') | 'it''s' | 'a\\nb' | "s"
    """,
    "patterns": """
        s LIKE 'a%' | s LIKE '%\\%' | s LIKE '%\\b%' | s LIKE 'a_b%' | s LIKE '%!_%' ESCAPE '!' | s ILIKE 'SÃO%' | s NOT LIKE '%a%'
        | s LIKE s | regexp_matches(s, '^[a-z]') | regexp_matches(s, 'PAULO', 'i') | s ~ '.*a.*' | regexp_full_match(s, '.*text')
        | regexp_extract(s, '([a-z]+)') | regexp_extract(s, '(\\w)(\\w)', 2) | regexp_replace(s, '[a-c]', '<\\0>', 'g')
        | regexp_replace(s, '(\\w)(\\w)', '\\2\\1', 'g') | regexp_replace(s, 'a', '$1', 'g') | regexp_matches(s, '\\\\b')
    """,
    "logic": """
        f AND i > 0 | f OR i > 0 | NOT f | f IS NULL | f IS TRUE | i IS DISTINCT FROM 2 | i IS NOT DISTINCT FROM NULL
        | i IN (2, 7) | i NOT IN (2, 7) | i BETWEEN 0 AND 7 | CASE WHEN i > 2 THEN 'big' WHEN i IS NULL THEN 'none' ELSE 'small' END
        | CASE i WHEN 2 THEN 1.5 ELSE 2 END | coalesce(i, 0) | ifnull(m, 0) | nullif(i, 2) | if(i > 2, 'x', 'y') | i <> 2 | i == 2
        | s = '' | s > 'a' | xor(i, 3) | i & 3 | i|4 | ~i | i <= 2 | i | f = (i > 0) | NULL
    """.replace("i | f =", "f ="),
    "dates": """
        year(day) | month(day) | day(day) | hour(ts) | minute(ts) | second(ts) | quarter(day) | week(day) | weekofyear(day)
        | dayofweek(day) | isodow(day) | dayofyear(day) | extract(dow FROM day) | extract(isodow FROM ts) | extract(year FROM ts)
        | date_part('dow', day) | extract(second FROM ts) | extract(doy FROM day) | epoch(ts) | epoch(day)
        | date_trunc('month', day) | date_trunc('week', ts) | date_trunc('quarter', day) | date_trunc('hour', ts)
        | day + 1 | day - 1 | day - DATE '2024-01-01' | day + INTERVAL 1 DAY | day + INTERVAL 1 MONTH | ts - INTERVAL 2 HOUR
        | CAST(day + INTERVAL 1 DAY AS VARCHAR) | last_day(day) | make_date(2024, 2, 29)
        | date_diff('day', DATE '2024-01-31', day) | date_diff('month', DATE '2024-01-31', day) | date_diff('year', DATE '2024-01-31', day)
        | date_diff('quarter', DATE '2024-01-31', day) | date_diff('week', DATE '2024-01-31', day)
        | date_diff('hour', TIMESTAMP '2024-01-31 01:59:00', ts) | date_diff('minute', TIMESTAMP '2024-01-31 01:59:59', ts)
        | date_diff('second', TIMESTAMP '2024-01-31 01:59:59', ts) | date_diff('day', TIMESTAMP '2024-01-31 23:00:00', ts)
        | strftime(day, '%Y-%m-%d') | strftime(ts, '%d/%m/%Y %H:%M:%S') | strftime(ts, '%Y-%m-%dT%H:%M:%SZ') | strftime(day, '%b %a %j')
        | strftime(day, '%-d.%-m.%y') | strftime(ts, '%I:%M %p') | strftime(ts, '%f') | strftime(day, '%B %A, o''clock 100%%')
        | strptime('29/02/2024 10:11', '%d/%m/%Y %H:%M') | strptime('2024-03-01', '%Y-%m-%d') | strptime('1/2/24 3:04', '%d/%m/%y %H:%M') | strptime('20240301', '%Y%m%d') | date_part('doy', day)
        | current_date > DATE '2024-01-01' | now() > TIMESTAMPTZ '2024-01-01 00:00:00+00' | current_timestamp > TIMESTAMPTZ '2024-01-01 00:00:00+00' | dayofmonth(day)
        | day > DATE '2024-01-01' | ts >= '2024-01-01' | day = '2024-02-29' | z > TIMESTAMPTZ '2024-01-01 00:00:00+00'
        | day BETWEEN '2024-01-01' AND '2024-12-31' | TIMESTAMP '2024-01-01 10:00:00' | z | ts | day
    """,
    "lists": """
        l | l[1] | l[3] | l[9] | l[-1] | list_contains(l, 2) | array_length(l) | [i, 2] | {'a': i, 'b': s}
        | l[-2] | list_contains(l, i) | list_transform(l, lambda x: x + 1) | list_filter(l, lambda x: x > 1) | list_max(l) | list_min(l) | l || [9]
    """,
}  # fmt: skip

# Whole statements over `t` and `u`. Rows are compared without order.
STATEMENTS = {
    "order and limit": "SELECT id, i FROM t ORDER BY i DESC, id LIMIT 3",
    "nulls come last": "SELECT id FROM t ORDER BY i LIMIT 6",
    "nulls first": "SELECT id FROM t ORDER BY i NULLS FIRST LIMIT 1",
    "offset": "SELECT id FROM t ORDER BY id LIMIT 2 OFFSET 3",
    "star": "SELECT * FROM t",
    "star without": "SELECT * EXCLUDE (l, z) FROM t",
    "from first": "FROM t",
    "from first select": "FROM t SELECT id, s WHERE i > 0",
    "quoted names": 'SELECT i AS "with space", s AS "Ünï", d AS "a.b", m AS "quo""te" FROM t',
    "unnamed columns": "SELECT i - 1, count(*) OVER (), upper(s) FROM t",
    "same name twice": "SELECT id, id FROM t",
    "aggregates": """SELECT count(*) AS n, count(i) AS ni, count(DISTINCT f) AS nf, sum(i) AS si, sum(m) AS sm, sum(d) AS sd,
        avg(i) AS ai, avg(m) AS am, min(s) AS ms, max(day) AS md, min(ts) AS mt, bool_and(f) AS ba, bool_or(f) AS bo,
        stddev(id) AS sd2, stddev_pop(id) AS sp, variance(id) AS va, var_pop(id) AS vp, median(id) AS me,
        quantile_cont(id, 0.25) AS q, corr(id, i) AS co, count_if(f) AS ci, sum(DISTINCT i) AS sdi, avg(DISTINCT i) AS adi,
        covar_pop(id, i) AS cp, covar_samp(id, i) AS cs, stddev_samp(id) AS ss FROM t WHERE d < 1e10 OR d IS NULL""",
    "aggregates of nothing": "SELECT count(*) AS n, sum(i) AS s, avg(m) AS a, max(s) AS x, list(i ORDER BY id) AS l FROM t WHERE false",
    "group": "SELECT f, count(*) AS n, sum(i) AS s FROM t GROUP BY f",
    "group by all": "SELECT f, year(day) AS y, count(*) AS n FROM t GROUP BY ALL ORDER BY ALL",
    "group by number": "SELECT f, count(*) AS n FROM t GROUP BY 1 ORDER BY 1",
    "group by alias": "SELECT i % 2 AS odd, count(*) AS n FROM t GROUP BY odd",
    "having": "SELECT f, count(*) AS n FROM t GROUP BY f HAVING count(*) > 1",
    "filter": "SELECT count(*) FILTER (f) AS a, sum(i) FILTER (WHERE i > 0) AS b FROM t WHERE id < 6",
    "rollup": "SELECT f, id % 2 AS o, count(*) AS n FROM t GROUP BY ROLLUP (f, id % 2)",
    "cube": "SELECT f, id % 2 AS o, count(*) AS n FROM t GROUP BY CUBE (f, id % 2)",
    "grouping sets": "SELECT f, id % 2 AS o, count(*) AS n FROM t GROUP BY GROUPING SETS ((f), (id % 2), ())",
    "lists": "SELECT f, list(i ORDER BY id) AS l, list(s ORDER BY i DESC, id) AS one FROM t GROUP BY f".replace(
        "list(s ORDER BY i DESC, id) AS one", "list(s ORDER BY id DESC) AS down, array_agg(id ORDER BY i) AS by_null"
    ),
    "joined texts": "SELECT f, string_agg(s, '|' ORDER BY id) AS j, string_agg(DISTINCT s, ',' ORDER BY s) AS k FROM t GROUP BY f",
    "best of": "SELECT arg_max(s, id) AS a, arg_min(s, i) AS b, max_by(i, id) AS c, any_value(f) IS NOT NULL AS d FROM t",
    "distinct": "SELECT DISTINCT f FROM t",
    "join using": "SELECT * FROM u JOIN t USING (id)",
    "join using later column": "SELECT * FROM (SELECT name, id FROM u) AS x JOIN (SELECT s, id FROM t) AS y USING (id)",
    "left join": "SELECT t.id, u.name, coalesce(u.score, -1) AS score FROM t LEFT JOIN u ON t.id = u.id",
    "full join": "SELECT t.id AS a, u.id AS b FROM t FULL JOIN u ON t.id = u.id",
    "right join": "SELECT t.id AS a, u.id AS b FROM t RIGHT JOIN u ON t.id = u.id AND u.score > 2",
    "cross join": "SELECT t.id, u.name FROM t CROSS JOIN u",
    "comma join": "SELECT t.id, u.name FROM t, u WHERE t.id = u.id",
    "semi and anti": "SELECT id FROM t SEMI JOIN u USING (id) UNION ALL SELECT -id FROM t ANTI JOIN u USING (id)",
    "in and exists": """SELECT id FROM t WHERE id IN (SELECT id FROM u) AND EXISTS (SELECT 1 FROM u WHERE u.id = t.id)
        AND id NOT IN (SELECT id FROM u WHERE score > 2)""",
    "scalar query": "SELECT id, (SELECT max(score) FROM u) AS best, (SELECT count(*) FROM u WHERE u.id = t.id) AS n FROM t",
    "sets": """(SELECT id FROM t UNION SELECT id FROM u) EXCEPT SELECT 4 UNION ALL SELECT 4 INTERSECT SELECT id FROM t""",
    "with": "WITH a AS (SELECT id, i FROM t), b AS (SELECT * FROM a WHERE i > 0) SELECT count(*) AS n, sum(i) AS s FROM b",
    "with of a table's name": "WITH t AS (SELECT id FROM t WHERE id < 3) SELECT * FROM t",
    "temporary tables": """CREATE TEMP TABLE good AS SELECT * FROM t WHERE i IS NOT NULL;
        CREATE TEMP VIEW named(a, b) AS SELECT id, i FROM good; SELECT a, named.b FROM named JOIN good ON a = id""",
    "windows": """SELECT id, row_number() OVER (PARTITION BY f ORDER BY id) AS n, sum(i) OVER (PARTITION BY f ORDER BY id) AS r,
        lag(i) OVER (ORDER BY id) AS l, lead(i, 2, -1) OVER (ORDER BY id) AS e, rank() OVER (ORDER BY f) AS k,
        dense_rank() OVER (ORDER BY f) AS dk, ntile(3) OVER (ORDER BY id) AS t3,
        first_value(s) OVER (PARTITION BY f ORDER BY id) AS fv, last_value(i IGNORE NULLS) OVER (ORDER BY id) AS lv,
        avg(i) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS ma, percent_rank() OVER (ORDER BY id) AS p, cume_dist() OVER (ORDER BY f) AS cd,
        nth_value(s, 2) OVER (ORDER BY id) AS nv,
        count(*) OVER w AS cw FROM t WHERE id <> 6 WINDOW w AS (PARTITION BY f)""",
    "qualify": "SELECT id, f FROM t QUALIFY row_number() OVER (PARTITION BY f ORDER BY id DESC) = 1",
    "qualify star": "SELECT * FROM u QUALIFY row_number() OVER (PARTITION BY id ORDER BY name) = 1",
    "values": "SELECT a, b FROM (VALUES (1, 'x'), (2, NULL)) AS v(a, b)",
    "nested query": "SELECT n + 1 AS n FROM (SELECT count(*) AS n FROM t) AS q",
    "unnest": "SELECT id, unnest(l) AS x FROM t",
    "cases of names": "SELECT ID, T.S FROM T WHERE Id = 1",
    "alias of a table": "SELECT a.id FROM t AS a JOIN t AS b ON a.id = b.i",
    "numbers": "SELECT 1 AS a, 1.50 AS b, 1e3 AS c, 3000000000 AS d, 0.1 + 0.2 AS e, 1.0 / 3 AS f, -0.0 AS g",
    "nulls": "SELECT NULL AS a, CAST(NULL AS INTEGER) AS b, [NULL] AS c FROM t",
    "no table": "SELECT 1 AS one, 'x' AS x",
    "no rows": "SELECT * FROM t WHERE false",
}  # fmt: skip


def expressions(group: str) -> list[str]:
    """The expressions of a group, without blank ones."""
    return [each.strip() for each in SCALARS[group].split(" | ") if each.strip()]
