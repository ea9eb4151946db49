-- The functions that the comparisons use, under DuckDB's names, for a Spark 4 session that has the similarity
-- functions of Splink's jar: see docs/matching.md.

CREATE OR REPLACE TEMPORARY FUNCTION list_has_any(a ARRAY<STRING>, b ARRAY<STRING>) RETURNS BOOLEAN
RETURN arrays_overlap(a, b);

CREATE OR REPLACE TEMPORARY FUNCTION list_intersect(a ARRAY<STRING>, b ARRAY<STRING>) RETURNS ARRAY<STRING>
RETURN array_intersect(a, b);

CREATE OR REPLACE TEMPORARY FUNCTION list_extract(a ARRAY<STRING>, i INT) RETURNS STRING
RETURN try_element_at(a, i);

CREATE OR REPLACE TEMPORARY FUNCTION array_length(a ARRAY<STRING>) RETURNS INT
RETURN cardinality(a);
