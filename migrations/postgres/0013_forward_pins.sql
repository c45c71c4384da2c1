-- The address that somebody has confirmed for a forward whose guest has no fixed one. The pair is sqlite/0013_forward_pins.sql.

ALTER TABLE forwards ADD COLUMN pinned TEXT;
