-- One more event in the audit log: what a node answered over SSH. The pair is sqlite/0006_answers.sql.

ALTER TABLE audit DROP CONSTRAINT audit_event_check;
ALTER TABLE audit ADD CONSTRAINT audit_event_check CHECK (event IN
    ('denied', 'proposed', 'confirmed', 'press-denied', 'dropped', 'about-to', 'answered', 'cancel-asked', 'ended'));
