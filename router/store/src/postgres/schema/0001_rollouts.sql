CREATE TABLE rollout (
    model      TEXT   NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL,
    state      TEXT   NOT NULL
);

CREATE TABLE audit (
    model      TEXT             NOT NULL,
    generation BIGINT           NOT NULL,
    at         DOUBLE PRECISION NOT NULL,
    who        TEXT             NOT NULL,
    from_phase TEXT             NOT NULL,
    to_phase   TEXT             NOT NULL,
    what       TEXT             NOT NULL,
    version    TEXT,
    PRIMARY KEY (model, generation)
);

CREATE TABLE evidence (
    rollout  TEXT             NOT NULL,
    boot     TEXT             NOT NULL,
    model    TEXT             NOT NULL,
    sequence BIGINT           NOT NULL,
    at       DOUBLE PRECISION NOT NULL,
    payload  TEXT             NOT NULL,
    PRIMARY KEY (rollout, boot)
);

CREATE INDEX evidence_of_model ON evidence (model);

-- Ids are drawn under the lock of the model's row in rollout: within a model their order is that of its transitions.
CREATE TABLE outbox (
    id         BIGINT           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        TEXT             NOT NULL UNIQUE,
    queue      TEXT             NOT NULL,
    group_name TEXT             NOT NULL,
    payload    TEXT             NOT NULL,
    since      DOUBLE PRECISION NOT NULL,
    due        DOUBLE PRECISION NOT NULL DEFAULT 0,
    attempts   BIGINT           NOT NULL DEFAULT 0,
    error      TEXT,
    -- Who is sending it, and until when nobody else does.
    holder     TEXT,
    held_until DOUBLE PRECISION NOT NULL DEFAULT 0,
    -- When it was sent or given up; no value while it waits.
    done       DOUBLE PRECISION
);

CREATE INDEX outbox_waiting ON outbox (queue, group_name, id) WHERE done IS NULL;
CREATE INDEX outbox_done ON outbox (done) WHERE done IS NOT NULL;
