"""Tables and views of money, yield and lineage, which anyone may query."""

from __future__ import annotations

# `cost`: US dollars of the whole response, on its first sample, like the tokens; null where the price is unknown.
# `origin`: the run directory an answer was copied from; it cost nothing here. `maker`: what made the answer.
MIGRATION = """
    ALTER TABLE calls ADD COLUMN cost REAL;
    ALTER TABLE calls ADD COLUMN origin TEXT;
    ALTER TABLE calls ADD COLUMN maker INTEGER;
    CREATE TABLE makers (
        id INTEGER PRIMARY KEY,
        step TEXT NOT NULL,
        identity TEXT NOT NULL,
        parameters TEXT NOT NULL,
        schema TEXT NOT NULL,
        config TEXT NOT NULL
    );
    CREATE TABLE step_runs (
        id INTEGER PRIMARY KEY,
        step TEXT NOT NULL,
        started REAL NOT NULL,
        ended REAL NOT NULL,
        rows_in INTEGER NOT NULL,
        rows_done INTEGER NOT NULL,
        rows_out INTEGER NOT NULL,
        rows_failed INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        reused INTEGER NOT NULL,
        retries INTEGER NOT NULL,
        rate_limited INTEGER NOT NULL,
        error TEXT
    );
    CREATE TABLE step_failures (
        step TEXT NOT NULL,
        started REAL NOT NULL,
        error TEXT NOT NULL,
        generations INTEGER NOT NULL,
        PRIMARY KEY (step, started, error)
    ) WITHOUT ROWID;
    CREATE VIEW costs AS
        SELECT calls.step AS step,
            coalesce(json_extract(makers.identity, '$.model_name'), calls.model) AS model,
            count(*) AS answers,
            count(DISTINCT calls.row) AS rows,
            total(calls.input_tokens) AS input_tokens,
            total(calls.cached_tokens) AS cached_tokens,
            total(calls.output_tokens) AS output_tokens,
            total(calls.reasoning_tokens) AS reasoning_tokens,
            sum(calls.cost) AS cost,
            sum(calls.input_tokens IS NOT NULL AND calls.cost IS NULL) AS unpriced
        FROM calls LEFT JOIN makers ON makers.id = calls.maker
        WHERE calls.error IS NULL AND calls.origin IS NULL
        GROUP BY 1, 2;
    CREATE VIEW yields AS
        SELECT step, rows_in, rows_out, rows_failed, rows_in - rows_done AS rows_open,
            (SELECT json_group_object(error, generations) FROM step_failures
                WHERE step_failures.step = step_runs.step AND step_failures.started = step_runs.started) AS failures,
            requests, reused, retries, rate_limited, ended - started AS seconds, error
        FROM step_runs
        WHERE id IN (SELECT max(id) FROM step_runs GROUP BY step);
    CREATE VIEW lineage AS
        SELECT calls.step AS step, calls.row AS row, calls.sample AS sample, calls.id AS call,
            json_extract(makers.identity, '$.model_name') AS model, makers.parameters AS parameters,
            calls.finish_reason AS finish_reason, calls.cost AS cost, calls.origin AS origin, calls.at AS at
        FROM calls LEFT JOIN makers ON makers.id = calls.maker
        WHERE calls.error IS NULL;
"""

# Calls that brought no answer, with their requests and what was paid for them. `retried`: it was asked again; only
# what was paid for is kept of such calls.
FAILURES_MIGRATION = """
    ALTER TABLE calls ADD COLUMN retried INTEGER;
    DROP VIEW failures;
    CREATE VIEW failures AS
        SELECT calls.id AS id, calls.step AS step, row, sample, error, message, attempts, at, text, request,
            json_extract(makers.identity, '$.model_name') AS model, makers.parameters AS parameters,
            input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost
        FROM calls LEFT JOIN makers ON makers.id = calls.maker
        WHERE error IS NOT NULL AND retried IS NULL;
    DROP VIEW costs;
    CREATE VIEW costs AS
        SELECT calls.step AS step,
            coalesce(json_extract(makers.identity, '$.model_name'), calls.model) AS model,
            sum(calls.error IS NULL) AS answers,
            count(DISTINCT CASE WHEN calls.error IS NULL THEN calls.row END) AS rows,
            total(calls.input_tokens) AS input_tokens,
            total(calls.cached_tokens) AS cached_tokens,
            total(calls.output_tokens) AS output_tokens,
            total(calls.reasoning_tokens) AS reasoning_tokens,
            sum(calls.cost) AS cost,
            sum(calls.input_tokens IS NOT NULL AND calls.cost IS NULL) AS unpriced,
            sum(calls.error IS NOT NULL) AS failed
        FROM calls LEFT JOIN makers ON makers.id = calls.maker
        WHERE (calls.error IS NULL OR calls.input_tokens IS NOT NULL) AND calls.origin IS NULL
        GROUP BY 1, 2;
"""

# `open_runs`: a run that is at work, or was killed; it notes itself with its first call, until it notes its end, after
# which calls that were in flight may still come. A call that was asked again is no failure.
YIELDS_MIGRATION = """
    CREATE TABLE open_runs (step TEXT PRIMARY KEY, last_call INTEGER NOT NULL) WITHOUT ROWID;
    DROP VIEW yields;
    CREATE VIEW yields AS
        WITH latest AS (SELECT step, max(id) AS id FROM step_runs GROUP BY step),
        since AS (
            SELECT calls.step AS step, row, at, iif(retried IS NULL, error, NULL) AS error
            FROM calls LEFT JOIN latest ON latest.step = calls.step LEFT JOIN open_runs ON open_runs.step = calls.step
            WHERE latest.step IS NULL OR calls.id > open_runs.last_call
        )
        SELECT step, rows_in, rows_out, rows_failed, rows_in - rows_done AS rows_open,
            (SELECT json_group_object(error, generations) FROM step_failures
                WHERE step_failures.step = step_runs.step AND step_failures.started = step_runs.started) AS failures,
            requests, reused, retries, rate_limited, ended - started AS seconds, error
        FROM step_runs
        WHERE id IN (SELECT id FROM latest) AND step NOT IN (SELECT step FROM since)
        UNION ALL
        SELECT step, count(DISTINCT row), NULL, count(DISTINCT iif(error IS NULL, NULL, row)), NULL,
            (SELECT json_group_object(error, generations) FROM
                (SELECT error, count(*) AS generations FROM since AS failed
                    WHERE failed.step = since.step AND error IS NOT NULL GROUP BY error)),
            NULL, NULL, NULL, NULL, max(at) - min(at), 'Unfinished'
        FROM since GROUP BY step;
"""

# Rows that were mended, by an answer asked for again or of another LLM, and the calls for that.
MENDING_MIGRATION = """
    ALTER TABLE step_runs ADD COLUMN repaired INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE step_runs ADD COLUMN repair_calls INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE step_runs ADD COLUMN fell_back INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE step_runs ADD COLUMN fallback_calls INTEGER NOT NULL DEFAULT 0;
    DROP VIEW yields;
    CREATE VIEW yields AS
        WITH latest AS (SELECT step, max(id) AS id FROM step_runs GROUP BY step),
        since AS (
            SELECT calls.step AS step, row, at, iif(retried IS NULL, error, NULL) AS error
            FROM calls LEFT JOIN latest ON latest.step = calls.step LEFT JOIN open_runs ON open_runs.step = calls.step
            WHERE latest.step IS NULL OR calls.id > open_runs.last_call
        )
        SELECT step, rows_in, rows_out, rows_failed, rows_in - rows_done AS rows_open,
            (SELECT json_group_object(error, generations) FROM step_failures
                WHERE step_failures.step = step_runs.step AND step_failures.started = step_runs.started) AS failures,
            requests, reused, retries, rate_limited, ended - started AS seconds, error,
            repaired, repair_calls, fell_back, fallback_calls
        FROM step_runs
        WHERE id IN (SELECT id FROM latest) AND step NOT IN (SELECT step FROM since)
        UNION ALL
        SELECT step, count(DISTINCT row), NULL, count(DISTINCT iif(error IS NULL, NULL, row)), NULL,
            (SELECT json_group_object(error, generations) FROM
                (SELECT error, count(*) AS generations FROM since AS failed
                    WHERE failed.step = since.step AND error IS NOT NULL GROUP BY error)),
            NULL, NULL, NULL, NULL, max(at) - min(at), 'Unfinished', NULL, NULL, NULL, NULL
        FROM since GROUP BY step;
"""

INSERT_RUN = f"INSERT INTO step_runs VALUES (NULL{', ?' * 16})"
# A clock may stand still, or be set back: two runs may have begun at one time.
INSERT_FAILURES = "INSERT OR REPLACE INTO step_failures VALUES (?, ?, ?, ?)"
# Of several that were killed, the first one is what is open.
OPEN_RUN = "INSERT OR IGNORE INTO open_runs VALUES (?, ?)"
CLOSE_RUN = "DELETE FROM open_runs WHERE step = ?"

# What earlier runs of a step spent, and the responses that no price was known for. Samples of one response have
# one row and one time; the last attempt of a call counts those before it.
SPENT = """
    SELECT total(cost), total(input_tokens + output_tokens),
        (SELECT coalesce(sum(attempts), 0) FROM
            (SELECT DISTINCT row, at, attempts FROM calls WHERE step = ?1 AND origin IS NULL AND retried IS NULL))
    FROM calls WHERE step = ?1 AND origin IS NULL
"""
UNPRICED = """
    SELECT input_tokens, output_tokens, cached_tokens, reasoning_tokens FROM calls
    WHERE step = ? AND origin IS NULL AND cost IS NULL AND input_tokens IS NOT NULL
"""
