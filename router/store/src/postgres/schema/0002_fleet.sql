-- The chain of all replicas: one row for each rollout, that moves from tick to tick by compare-and-swap on the tick.
CREATE TABLE fleet_pool (
    rollout TEXT   NOT NULL PRIMARY KEY,
    model   TEXT   NOT NULL,
    tick    BIGINT NOT NULL,
    pool    TEXT   NOT NULL,
    -- By which it is judged, everywhere: that of the replica that began it.
    policy  TEXT   NOT NULL
);

-- Processes that share this schema, whether something is tried or not.
CREATE TABLE fleet_replica (
    boot   TEXT             NOT NULL PRIMARY KEY,
    name   TEXT             NOT NULL,
    -- Those that it serves: a list in JSON.
    models TEXT             NOT NULL,
    -- When it was last heard of, by the clock of this database.
    at     DOUBLE PRECISION NOT NULL
);

-- Who takes part in a rollout. Those that have begun again within one process have no seat of their own.
CREATE TABLE fleet_member (
    rollout TEXT             NOT NULL REFERENCES fleet_pool ON DELETE CASCADE,
    boot    TEXT             NOT NULL,
    seat    BIGINT,
    at      DOUBLE PRECISION NOT NULL,
    note    TEXT             NOT NULL,
    PRIMARY KEY (rollout, boot),
    UNIQUE (rollout, seat)
);

CREATE TABLE fleet_report (
    rollout TEXT   NOT NULL REFERENCES fleet_pool ON DELETE CASCADE,
    boot    TEXT   NOT NULL,
    tick    BIGINT NOT NULL,
    report  TEXT   NOT NULL,
    PRIMARY KEY (rollout, boot, tick)
);

CREATE INDEX fleet_pool_of_model ON fleet_pool (model);
