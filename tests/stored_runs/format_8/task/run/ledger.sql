BEGIN TRANSACTION;
CREATE TABLE batch_entries (
        token TEXT NOT NULL,
        number INTEGER NOT NULL,
        row TEXT NOT NULL,
        samples TEXT NOT NULL,
        key BLOB NOT NULL,
        PRIMARY KEY (token, number)
    ) WITHOUT ROWID;
CREATE TABLE batches (
        token TEXT PRIMARY KEY,
        step TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        batch TEXT,
        status TEXT NOT NULL,
        requests INTEGER NOT NULL,
        message TEXT,
        at REAL NOT NULL,
        ended_at REAL
    ) WITHOUT ROWID;
CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        step TEXT NOT NULL,
        row TEXT NOT NULL,
        sample INTEGER NOT NULL,
        key BLOB NOT NULL,
        text TEXT,
        finish_reason TEXT,
        detail TEXT,
        request TEXT,
        model TEXT,
        input_tokens INTEGER,
        output_tokens INTEGER,
        cached_tokens INTEGER,
        reasoning_tokens INTEGER,
        latency REAL,
        attempts INTEGER NOT NULL,
        error TEXT,
        message TEXT,
        at REAL NOT NULL
    , batch TEXT, cost REAL, origin TEXT, maker INTEGER, retried INTEGER);
INSERT INTO "calls" VALUES(1,'ask','0',0,X'290B08EF3B797D925E087A3AAFDCD9DC','About one','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "one"}], "parameters": {"max_tokens": 10}, "output_schema": null}','recorded-2026',3,5,0,0,1.04137000107584754005e-04,1,NULL,NULL,1.7959206945336992741e+09,NULL,1.3e-05,NULL,8522577504258013938,NULL);
INSERT INTO "calls" VALUES(2,'ask','1',0,X'403AC93B66FE85D3D84BFCA7BF9722EE','About two','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "two"}], "parameters": {"max_tokens": 10}, "output_schema": null}','recorded-2026',3,5,0,0,3.3730000268406e-05,1,NULL,NULL,1.79592069453380537031e+09,NULL,1.3e-05,NULL,8522577504258013938,NULL);
INSERT INTO "calls" VALUES(3,'ask','2',0,X'53E55E4D921ECFC244C5EBA7C7E58798','About a long story','length','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "a long story"}], "parameters": {"max_tokens": 10}, "output_schema": null}','recorded-2026',12,5,0,0,2.70160003310593310743e-05,1,NULL,NULL,1.79592069453390312198e+09,NULL,2.2e-05,NULL,8522577504258013938,NULL);
INSERT INTO "calls" VALUES(4,'ask','3',0,X'76BC1EF33E556F7CC860475D4947DA5F',NULL,NULL,NULL,'{"messages": [{"role": "user", "content": "refused"}], "parameters": {"max_tokens": 10}, "output_schema": null}',NULL,NULL,NULL,NULL,NULL,NULL,1,'ContentFilteredError','The prompt was refused.',1.79592069453413867956e+09,NULL,NULL,NULL,8522577504258013938,NULL);
INSERT INTO "calls" VALUES(5,'ask','4',0,X'B155425D7C069FE51BD5549104E9FA0E',X'41626F75742068616C6620EDA0BD','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "half \ud83d"}], "parameters": {"max_tokens": 10}, "output_schema": null}','recorded-2026',6,5,0,0,6.0473999837995506823e-05,1,NULL,NULL,1.79592069453496766097e+09,NULL,1.6e-05,NULL,8522577504258013938,NULL);
INSERT INTO "calls" VALUES(6,'ask','5',0,X'403AC93B66FE85D3D84BFCA7BF9722EE','About two','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "two"}], "parameters": {"max_tokens": 10}, "output_schema": null}','recorded-2026',3,5,0,0,2.83839999610790982842e-05,1,NULL,NULL,1.79592069453508639334e+09,NULL,1.3e-05,NULL,8522577504258013938,NULL);
INSERT INTO "calls" VALUES(7,'ask','2',0,X'9BBCC6C96028A21FC036AA65779F546B','About a long story','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "a long story"}], "parameters": {"max_tokens": 200}, "output_schema": null}','recorded-2026',12,5,0,0,8.29159998829709365963e-05,1,NULL,NULL,1.79592069455266284947e+09,NULL,2.2e-05,NULL,5782657645035189337,NULL);
CREATE TABLE makers (
        id INTEGER PRIMARY KEY,
        step TEXT NOT NULL,
        identity TEXT NOT NULL,
        parameters TEXT NOT NULL,
        schema TEXT NOT NULL,
        config TEXT NOT NULL
    );
INSERT INTO "makers" VALUES(5782657645035189337,'ask','{"model":"recorded","model_name":"recorded","provider":"support.stored_runs:RecordedLLM"}','{"max_tokens":200}','null','{"add_raw_input": false, "add_raw_output": true, "add_statistics": false, "group_generations": false, "input_mappings": {}, "llm": {"generation_kwargs": {"max_tokens": 200}, "provider": "recorded"}, "name": "ask", "num_generations": 1, "on_error": "keep", "output_mappings": {}}');
INSERT INTO "makers" VALUES(8522577504258013938,'ask','{"model":"recorded","model_name":"recorded","provider":"support.stored_runs:RecordedLLM"}','{"max_tokens":10}','null','{"add_raw_input": false, "add_raw_output": true, "add_statistics": false, "group_generations": false, "input_mappings": {}, "llm": {"generation_kwargs": {"max_tokens": 10}, "provider": "recorded"}, "name": "ask", "num_generations": 1, "on_error": "keep", "output_mappings": {}}');
CREATE TABLE open_runs (step TEXT PRIMARY KEY, last_call INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE results (
        step TEXT NOT NULL,
        key BLOB NOT NULL,
        row TEXT NOT NULL,
        output TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (step, key, row)
    ) WITHOUT ROWID;
CREATE TABLE step_failures (
        step TEXT NOT NULL,
        started REAL NOT NULL,
        error TEXT NOT NULL,
        generations INTEGER NOT NULL,
        PRIMARY KEY (step, started, error)
    ) WITHOUT ROWID;
INSERT INTO "step_failures" VALUES('ask',1.79592069453191280369e+09,'ContentFilteredError',1);
INSERT INTO "step_failures" VALUES('ask',1.79592069455046367647e+09,'ContentFilteredError',1);
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
INSERT INTO "step_runs" VALUES(1,'ask',1.79592069453191280369e+09,1.79592069453621578211e+09,6,6,6,1,6,0,0,0,NULL);
INSERT INTO "step_runs" VALUES(2,'ask',1.79592069455046367647e+09,1.79592069455426549913e+09,6,6,6,1,1,4,0,0,NULL);
CREATE TABLE steps (name TEXT PRIMARY KEY, config TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "steps" VALUES('ask','{"add_raw_input": false, "add_raw_output": true, "add_statistics": false, "group_generations": false, "input_mappings": {}, "llm": {"generation_kwargs": {"max_tokens": 10}, "provider": "recorded"}, "name": "ask", "num_generations": 1, "on_error": "keep", "output_mappings": {}}');
CREATE VIEW answers AS SELECT * FROM calls WHERE error IS NULL;
CREATE INDEX calls_by_batch ON calls (batch) WHERE batch IS NOT NULL;
CREATE VIEW lineage AS
        SELECT calls.step AS step, calls.row AS row, calls.sample AS sample, calls.id AS call,
            json_extract(makers.identity, '$.model_name') AS model, makers.parameters AS parameters,
            calls.finish_reason AS finish_reason, calls.cost AS cost, calls.origin AS origin, calls.at AS at
        FROM calls LEFT JOIN makers ON makers.id = calls.maker
        WHERE calls.error IS NULL;
CREATE VIEW failures AS
        SELECT calls.id AS id, calls.step AS step, row, sample, error, message, attempts, at, text, request,
            json_extract(makers.identity, '$.model_name') AS model, makers.parameters AS parameters,
            input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost
        FROM calls LEFT JOIN makers ON makers.id = calls.maker
        WHERE error IS NOT NULL AND retried IS NULL;
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
CREATE INDEX calls_by_row ON calls (step, row, sample);
CREATE INDEX answers_by_key ON calls (step, key, CAST(row AS INTEGER), sample, id)
        WHERE error IS NULL
    ;
COMMIT;
PRAGMA user_version = 8;
PRAGMA application_id = 1280131659;
