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
INSERT INTO "calls" VALUES(1,'ask','0',0,X'1B8C77A3298320D3DE83914BD77183EB','About one','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "one"}], "parameters": {}, "output_schema": null}','recorded-2026',3,5,0,0,1.27530000099795870482e-04,1,NULL,NULL,1.79592069477090048794e+09,NULL,NULL,NULL,7981880228593920523,NULL);
INSERT INTO "calls" VALUES(2,'ask','1',0,X'1F49F106504A01B179DA562A2A464F12','About two','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "two"}], "parameters": {}, "output_schema": null}','recorded-2026',3,5,0,0,4.19559996771568e-05,1,NULL,NULL,1.79592069477234411237e+09,NULL,NULL,NULL,7981880228593920523,NULL);
INSERT INTO "calls" VALUES(3,'ask','2',0,X'11A0DF81F8627D1AB8031131812E3088','About a long story','length','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "a long story"}], "parameters": {}, "output_schema": null}','recorded-2026',12,5,0,0,2.23700003516569267958e-05,1,NULL,NULL,1.79592069477243804938e+09,NULL,NULL,NULL,7981880228593920523,NULL);
INSERT INTO "calls" VALUES(4,'ask','3',0,X'AC080F5805752EF2490143586A447B34',NULL,NULL,NULL,'{"messages": [{"role": "user", "content": "refused"}], "parameters": {}, "output_schema": null}',NULL,NULL,NULL,NULL,NULL,NULL,1,'ContentFilteredError','The prompt was refused.',1.79592069477256774901e+09,NULL,NULL,NULL,7981880228593920523,NULL);
INSERT INTO "calls" VALUES(5,'again','3',0,X'804688D08C13145D288BFA03BBEEA0A8','About None','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "None"}], "parameters": {}, "output_schema": null}','recorded-2026',4,5,0,0,3.31650003317918162792e-05,1,NULL,NULL,1.79592069477347588543e+09,NULL,NULL,NULL,249927396578248996,NULL);
INSERT INTO "calls" VALUES(6,'ask','4',0,X'2748D162CE901466227636D1193AEFA3',X'41626F75742068616C6620EDA0BD','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "half \ud83d"}], "parameters": {}, "output_schema": null}','recorded-2026',6,5,0,0,2.12960003409534692764e-05,1,NULL,NULL,1795920694.77356,NULL,NULL,NULL,7981880228593920523,NULL);
INSERT INTO "calls" VALUES(7,'ask','5',0,X'1F49F106504A01B179DA562A2A464F12','About two','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "two"}], "parameters": {}, "output_schema": null}','recorded-2026',3,5,0,0,2.7297000087855849415e-05,1,NULL,NULL,1.79592069477385258679e+09,NULL,NULL,NULL,7981880228593920523,NULL);
INSERT INTO "calls" VALUES(8,'again','0',0,X'86D7E80A1627DBCCF1008DBFB3CFE399','About About one','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "About one"}], "parameters": {}, "output_schema": null}','recorded-2026',9,5,0,0,2.76129999292606953531e-05,1,NULL,NULL,1.79592069477458310131e+09,NULL,NULL,NULL,249927396578248996,NULL);
INSERT INTO "calls" VALUES(9,'again','1',0,X'3A5707A3318E32FAC0323CB34362BA1D','About About two','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "About two"}], "parameters": {}, "output_schema": null}','recorded-2026',9,5,0,0,2.86989998130593448877e-05,1,NULL,NULL,1.79592069477510094636e+09,NULL,NULL,NULL,249927396578248996,NULL);
INSERT INTO "calls" VALUES(10,'again','2',0,X'D17F5DA25E022BF98F1DC33CB2E22088','About About a long story','length','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "About a long story"}], "parameters": {}, "output_schema": null}','recorded-2026',18,5,0,0,1.94260001080692745745e-05,1,NULL,NULL,1.7959206947751727104e+09,NULL,NULL,NULL,249927396578248996,NULL);
INSERT INTO "calls" VALUES(11,'again','4',0,X'2EC7AEB4FC65073EB61BF3B13CCA1B02',X'41626F75742041626F75742068616C6620EDA0BD','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "About half \ud83d"}], "parameters": {}, "output_schema": null}','recorded-2026',12,5,0,0,1.88069998330320231616e-05,1,NULL,NULL,1.79592069477525115013e+09,NULL,NULL,NULL,249927396578248996,NULL);
INSERT INTO "calls" VALUES(12,'again','5',0,X'3A5707A3318E32FAC0323CB34362BA1D','About About two','stop','{"reasoning": "So."}','{"messages": [{"role": "user", "content": "About two"}], "parameters": {}, "output_schema": null}','recorded-2026',9,5,0,0,3.13539999297063332051e-05,1,NULL,NULL,1.7959206947759034634e+09,NULL,NULL,NULL,249927396578248996,NULL);
CREATE TABLE makers (
        id INTEGER PRIMARY KEY,
        step TEXT NOT NULL,
        identity TEXT NOT NULL,
        parameters TEXT NOT NULL,
        schema TEXT NOT NULL,
        config TEXT NOT NULL
    );
INSERT INTO "makers" VALUES(249927396578248996,'again','{"model":"m","model_name":"m","provider":"support.stored_runs:RecordedLLM"}','{}','null','{"add_raw_input": false, "add_raw_output": true, "add_statistics": false, "group_generations": false, "input_mappings": {"question": "answer"}, "llm": {"model": "m", "provider": "recorded"}, "name": "again", "num_generations": 1, "on_error": "keep", "output_mappings": {"answer": "second"}}');
INSERT INTO "makers" VALUES(7981880228593920523,'ask','{"model":"m","model_name":"m","provider":"support.stored_runs:RecordedLLM"}','{}','null','{"add_raw_input": false, "add_raw_output": true, "add_statistics": false, "group_generations": false, "input_mappings": {}, "llm": {"model": "m", "provider": "recorded"}, "name": "ask", "num_generations": 1, "on_error": "keep", "output_mappings": {}}');
CREATE TABLE open_runs (step TEXT PRIMARY KEY, last_call INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE results (
        step TEXT NOT NULL,
        key BLOB NOT NULL,
        row TEXT NOT NULL,
        output TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (step, key, row)
    ) WITHOUT ROWID;
INSERT INTO "results" VALUES('counted',X'1FF6A4B8E820DC2ABCDD8251F617508C','1','[{"question": "two", "letters": 3}]',1.79592069477121758468e+09);
INSERT INTO "results" VALUES('counted',X'1FF6A4B8E820DC2ABCDD8251F617508C','5','[{"question": "two", "letters": 3}]',1.79592069477133941647e+09);
INSERT INTO "results" VALUES('counted',X'4C8484BA765954E846F7EB117D66BDA2','3','[{"question": "refused", "letters": 7}]',1.79592069477129912371e+09);
INSERT INTO "results" VALUES('counted',X'8B01ABA57AEEC7DB9C7F34A6F9B6ED5A','4','[{"question": "half \ud83d", "letters": 6}]',1.79592069477132105833e+09);
INSERT INTO "results" VALUES('counted',X'9BA3EB3155D7472012DE386323BAB786','2','[{"question": "a long story", "letters": 12}]',1.79592069477127671238e+09);
INSERT INTO "results" VALUES('counted',X'D69E79735C19478CC75DD10A3E69661A','0','[{"question": "one", "letters": 3}]',1.79592069476999664301e+09);
CREATE TABLE step_failures (
        step TEXT NOT NULL,
        started REAL NOT NULL,
        error TEXT NOT NULL,
        generations INTEGER NOT NULL,
        PRIMARY KEY (step, started, error)
    ) WITHOUT ROWID;
INSERT INTO "step_failures" VALUES('ask',1.79592069476620578771e+09,'ContentFilteredError',1);
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
INSERT INTO "step_runs" VALUES(1,'ask',1.79592069476620578771e+09,1.79592069477534461022e+09,6,6,6,1,6,0,0,0,NULL);
INSERT INTO "step_runs" VALUES(2,'again',1.7959206947668223381e+09,1795920694.7774,6,6,6,0,6,0,0,0,NULL);
CREATE TABLE steps (name TEXT PRIMARY KEY, config TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "steps" VALUES('again','{"add_raw_input": false, "add_raw_output": true, "add_statistics": false, "group_generations": false, "input_mappings": {"question": "answer"}, "llm": {"model": "m", "provider": "recorded"}, "name": "again", "num_generations": 1, "on_error": "keep", "output_mappings": {"answer": "second"}}');
INSERT INTO "steps" VALUES('ask','{"add_raw_input": false, "add_raw_output": true, "add_statistics": false, "group_generations": false, "input_mappings": {}, "llm": {"model": "m", "provider": "recorded"}, "name": "ask", "num_generations": 1, "on_error": "keep", "output_mappings": {}}');
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
COMMIT;
PRAGMA user_version = 8;
PRAGMA application_id = 1280131659;
