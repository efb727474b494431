-- Who is sending a message, and until when nobody else does.
ALTER TABLE outbox ADD COLUMN holder TEXT;
ALTER TABLE outbox ADD COLUMN held_until DOUBLE PRECISION NOT NULL DEFAULT 0;
