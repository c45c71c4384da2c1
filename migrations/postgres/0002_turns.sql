-- What an operation works on, where two must not work on that at the same time (`guest lab/201`). The pair is sqlite/0002_turns.sql.
-- Operations that are open when this is applied are about guests; they have their turn from the columns.
ALTER TABLE operations ADD COLUMN turn TEXT;
UPDATE operations SET turn = 'guest ' || cluster || '/' || CAST(vmid AS TEXT) WHERE vmid IS NOT NULL;
CREATE INDEX operations_turn ON operations (turn, created_ms) WHERE turn IS NOT NULL;
