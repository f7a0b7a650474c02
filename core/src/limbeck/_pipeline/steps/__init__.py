"""Steps that the pipeline itself has: routers, joins, functions, rows in memory."""
