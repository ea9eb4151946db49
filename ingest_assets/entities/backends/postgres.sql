-- The functions that the comparisons use and Postgres lacks, under DuckDB's names. With these and the
-- extension fuzzystrmatch (for levenshtein), Splink's Postgres backend takes the same settings; see
-- docs/matching.md. A test compares them with DuckDB's.

CREATE OR REPLACE FUNCTION list_has_any(a anyarray, b anyarray) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT a && b';

CREATE OR REPLACE FUNCTION list_intersect(a anyarray, b anyarray) RETURNS anyarray
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT ARRAY(SELECT unnest(a) INTERSECT SELECT unnest(b))';

-- Jaro similarity, plus a tenth of what it lacks to 1 for each letter of the common prefix, up to four.
CREATE OR REPLACE FUNCTION jaro_winkler_similarity(a text, b text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    la integer := length(a);
    lb integer := length(b);
    reach integer := greatest(greatest(la, lb) / 2 - 1, 0);
    taken boolean[] := array_fill(false, ARRAY[greatest(lb, 1)]);
    hit boolean[] := array_fill(false, ARRAY[greatest(la, 1)]);
    same integer := 0;
    swapped integer := 0;
    prefix integer := 0;
    k integer := 1;
    jaro double precision;
BEGIN
    IF la = 0 OR lb = 0 THEN
        RETURN CASE WHEN la = lb THEN 1 ELSE 0 END;
    END IF;
    FOR i IN 1..la LOOP
        FOR j IN greatest(1, i - reach)..least(lb, i + reach) LOOP
            IF NOT taken[j] AND substr(a, i, 1) = substr(b, j, 1) THEN
                taken[j] := true;
                hit[i] := true;
                same := same + 1;
                EXIT;
            END IF;
        END LOOP;
    END LOOP;
    IF same = 0 THEN
        RETURN 0;
    END IF;
    FOR i IN 1..la LOOP
        IF hit[i] THEN
            WHILE NOT taken[k] LOOP
                k := k + 1;
            END LOOP;
            swapped := swapped + (substr(a, i, 1) <> substr(b, k, 1))::integer;
            k := k + 1;
        END IF;
    END LOOP;
    jaro := (same::double precision / la + same::double precision / lb
             + (same - swapped / 2)::double precision / same) / 3;
    WHILE prefix < least(la, lb, 4) AND substr(a, prefix + 1, 1) = substr(b, prefix + 1, 1) LOOP
        prefix := prefix + 1;
    END LOOP;
    RETURN CASE WHEN jaro > 0.7 THEN jaro + prefix * 0.1 * (1 - jaro) ELSE jaro END;
END $$;

-- The number of single-letter edits and swaps of adjacent letters that turn one text into the other.
CREATE OR REPLACE FUNCTION damerau_levenshtein(a text, b text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    la integer := length(a);
    lb integer := length(b);
    edge integer := la + lb;
    d integer[][] := array_fill(la + lb, ARRAY[la + 2, lb + 2]);
    seen jsonb := '{}';
    last_b integer;
    row_of integer;
    cost integer;
BEGIN
    FOR i IN 0..la LOOP
        d[i + 2][2] := i;
    END LOOP;
    FOR j IN 0..lb LOOP
        d[2][j + 2] := j;
    END LOOP;
    FOR i IN 1..la LOOP
        last_b := 0;
        FOR j IN 1..lb LOOP
            row_of := coalesce((seen ->> substr(b, j, 1))::integer, 0);
            cost := (substr(a, i, 1) <> substr(b, j, 1))::integer;
            d[i + 2][j + 2] := least(
                d[i + 1][j + 1] + cost,
                d[i + 2][j + 1] + 1,
                d[i + 1][j + 2] + 1,
                d[row_of + 1][last_b + 1] + (i - row_of - 1) + 1 + (j - last_b - 1)
            );
            IF cost = 0 THEN
                last_b := j;
            END IF;
        END LOOP;
        seen := seen || jsonb_build_object(substr(a, i, 1), i);
    END LOOP;
    RETURN least(d[la + 2][lb + 2], edge);
END $$;

CREATE OR REPLACE FUNCTION array_length(a anyarray) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT cardinality(a)';

CREATE OR REPLACE FUNCTION list_extract(a anyarray, i integer) RETURNS anyelement
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT a[i]';
