//! Replicas of a fleet: who takes part, what each has counted, and the pool.

use std::collections::BTreeMap;
use std::time::Duration;

use perch_router::fleet::{Pool, Report, Share, TICK};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::PostgresStore;
use crate::fleet::{Beat, Gathered, Heard, Joined, Joining, Member, Replica};
use crate::portable::{signed, unsigned};
use crate::sql::Sql;
use crate::tables::Database;
use crate::{ErrorKind, StoreError};

/// The clock of the database, which goes on within a transaction.
const CLOCK: &str = "SELECT extract(epoch FROM clock_timestamp())::double precision";

/// A model and its generation, or a replica: its boot, name, models, and age.
type Change = (Option<i64>, String, Option<String>, Option<String>, Option<f64>);

/// Who was not heard of for so long is not told of, in seconds.
const REMEMBERED: f64 = 60.0;

impl PostgresStore {
    /// The store's clock, since 1970.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn clock(&self) -> Result<Duration, StoreError> {
        let mut tx = self.begin().await?;
        let at = clock(&mut *tx).await.map_err(|error| self.failed(&error))?;
        tx.commit().await.map_err(|error| self.failed(&error))?;
        Ok(at)
    }

    /// Takes part in a rollout: with a seat, and an empty report, so that the pool waits for this boot from here on. A boot
    /// that has joined already is told the same again.
    ///
    /// # Errors
    /// When it cannot be reached; whether it has joined then is not known.
    pub async fn join(&self, joining: &Joining) -> Result<Joined, StoreError> {
        let Joining { model, rollout, boot, .. } = joining;
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut tx = self.begin().await?;
        tx.run(
            "INSERT INTO fleet_pool (rollout, model, tick, pool, policy) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (rollout) DO NOTHING",
            &[
                rollout.into(),
                model.into(),
                signed("a tick", joining.pool.tick())?.into(),
                (&text(&joining.pool)?).into(),
                (&joining.policy.to_string()).into(),
            ],
        )
        .await
        .map_err(failed)?;
        // The pool stands still until this is done, and who joins meanwhile waits.
        let rows: Vec<(String, String)> = tx
            .rows("SELECT pool, policy FROM fleet_pool WHERE rollout = $1 FOR UPDATE", &[rollout.into()])
            .await
            .map_err(failed)?;
        let (pool, policy) =
            rows.into_iter().next().ok_or_else(|| StoreError::corrupt("a pool that was made is gone"))?;
        let pool: Pool = read("a pool", &pool)?;
        let seats: Vec<(i64, Option<i64>)> = tx
            .rows(
                "SELECT count(seat), max(CASE WHEN boot = $2 THEN seat END) FROM fleet_member WHERE rollout = $1",
                &[rollout.into(), boot.into()],
            )
            .await
            .map_err(failed)?;
        let (taken, own) = seats.into_iter().next().unwrap_or_default();
        let seat = own.unwrap_or(taken);
        let now = clock(&mut *tx).await.map_err(failed)?;
        tx.run(
            "INSERT INTO fleet_member (rollout, boot, seat, at, note) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (rollout, boot) DO UPDATE SET at = excluded.at, note = excluded.note",
            &[rollout.into(), boot.into(), seat.into(), now.as_secs_f64().into(), (&joining.note.to_string()).into()],
        )
        .await
        .map_err(failed)?;
        insert_report(&mut *tx, rollout, boot, &nothing(&pool, now)).await?.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Joined { seat: u32::try_from(seat).unwrap_or(u32::MAX), pool, policy: read("a policy", &policy)? })
    }

    /// A replica lives; says what it has to say about rollouts, and hears what has changed.
    ///
    /// # Errors
    /// When it cannot be reached; it may have been heard all the same.
    pub async fn beat(&self, replica: &Replica, beats: &[Beat]) -> Result<Heard, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        // A database elsewhere takes its time with each question: there are as few as can be.
        let mut tx = self.begin().await?;
        let rows: Vec<(f64,)> = tx
            .rows(
                "INSERT INTO fleet_replica (boot, name, models, at)
                 VALUES ($1, $2, $3, extract(epoch FROM clock_timestamp()))
                 ON CONFLICT (boot) DO UPDATE SET models = excluded.models, at = excluded.at RETURNING at",
                &[(&replica.boot).into(), (&replica.name).into(), (&text(&replica.models)?).into()],
            )
            .await
            .map_err(failed)?;
        let now = rows.first().map_or(0.0, |(at,)| *at);
        let mut pools = BTreeMap::new();
        for Beat { rollout, boot, report, note, known } in beats {
            let (tick, report) = match report {
                Some(report) => (signed("a tick", report.tick)?, Some(text(report)?)),
                None => (0, None),
            };
            // Of a rollout that is over nothing more is kept.
            let rows: Vec<(String,)> = tx
                .rows(
                    "WITH pool AS (SELECT tick, pool FROM fleet_pool WHERE rollout = $1),
                     member AS (
                         INSERT INTO fleet_member (rollout, boot, at, note)
                         SELECT $1, $2, extract(epoch FROM clock_timestamp()), $3 FROM pool
                         ON CONFLICT (rollout, boot) DO UPDATE SET at = excluded.at, note = excluded.note),
                     report AS (
                         INSERT INTO fleet_report (rollout, boot, tick, report)
                         SELECT $1, $2, $4, $5 FROM pool WHERE $5 IS NOT NULL
                         ON CONFLICT (rollout, boot, tick) DO NOTHING)
                     SELECT pool FROM pool WHERE tick > $6",
                    &[
                        rollout.into(),
                        boot.into(),
                        (&note.to_string()).into(),
                        tick.into(),
                        report.as_deref().into(),
                        signed("a tick", *known)?.into(),
                    ],
                )
                .await
                .map_err(failed)?;
            if let Some((pool,)) = rows.into_iter().next() {
                pools.insert(rollout.clone(), read("a pool", &pool)?);
            }
        }
        let rows: Vec<Change> = tx
            .rows(
                "SELECT generation, model, NULL, NULL, NULL FROM rollout
                 UNION ALL SELECT NULL, boot, name, models, $1 - at FROM fleet_replica WHERE at > $1 - $2 ORDER BY 2",
                &[now.into(), REMEMBERED.into()],
            )
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let (mut generations, mut replicas) = (BTreeMap::new(), Vec::new());
        for (generation, of, name, models, age) in rows {
            match generation {
                Some(stored) => _ = generations.insert(of, unsigned("a stored generation", stored)?),
                None => replicas.push(Replica {
                    boot: of,
                    name: name.unwrap_or_default(),
                    models: read("what a replica serves", &models.unwrap_or_default())?,
                    age: ago(age.unwrap_or_default()),
                }),
            }
        }
        let at = Duration::try_from_secs_f64(now).unwrap_or_default();
        Ok(Heard { at, generations, replicas, pools })
    }

    /// Process `boot` ends: nobody waits for it. Those that ended without saying so are forgotten, too.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn leave(&self, boot: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.run(
            "DELETE FROM fleet_replica WHERE boot = $1 OR at < extract(epoch FROM clock_timestamp()) - $2",
            &[boot.into(), REMEMBERED.into()],
        )
        .await
        .map_err(|error| self.failed(&error))?;
        tx.commit().await.map_err(|error| self.failed(&error))
    }

    /// All boots that ever took part in a rollout.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn members(&self, rollout: &str) -> Result<Vec<Member>, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut tx = self.begin().await?;
        let rows: Vec<(String, f64, String)> = tx
            .rows(
                "SELECT boot, extract(epoch FROM clock_timestamp())::double precision - at, note
                 FROM fleet_member WHERE rollout = $1 ORDER BY boot",
                &[rollout.into()],
            )
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let member = |(boot, age, note): (String, f64, String)| {
            let note = read(&format!("what boot \"{boot}\" says of itself"), &note)?;
            Ok(Member { boot, age: ago(age), note })
        };
        rows.into_iter().map(member).collect()
    }

    /// What is needed to bring a pool on; nothing where the rollout is over.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn gather(&self, rollout: &str) -> Result<Option<Gathered>, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut tx = self.begin().await?;
        let pools: Vec<(String,)> =
            tx.rows("SELECT pool FROM fleet_pool WHERE rollout = $1", &[rollout.into()]).await.map_err(failed)?;
        let reports: Vec<(String, String)> = tx
            .rows("SELECT boot, report FROM fleet_report WHERE rollout = $1 ORDER BY tick", &[rollout.into()])
            .await
            .map_err(failed)?;
        let ages: Vec<(String, f64)> = tx
            .rows(
                "SELECT boot, extract(epoch FROM clock_timestamp())::double precision - at
                 FROM fleet_member WHERE rollout = $1",
                &[rollout.into()],
            )
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let Some((pool,)) = pools.into_iter().next() else { return Ok(None) };
        let report = |(boot, text): (String, String)| {
            let report = read(&format!("a report of boot \"{boot}\""), &text)?;
            Ok((boot, report))
        };
        Ok(Some(Gathered {
            pool: read("a pool", &pool)?,
            reports: reports.into_iter().map(report).collect::<Result<_, StoreError>>()?,
            ages: ages.into_iter().map(|(boot, age)| (boot, ago(age))).collect(),
        }))
    }

    /// Puts a pool in the place of the one of tick `from`, and forgets the reports that it needs no longer. False where
    /// somebody else was faster.
    ///
    /// # Errors
    /// When it cannot be reached; it may be stored all the same.
    pub async fn advance(&self, rollout: &str, from: u64, pool: &Pool, buried: &[String]) -> Result<bool, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let tick = signed("a tick", pool.tick())?;
        let mut tx = self.begin().await?;
        let moved = tx
            .run(
                "UPDATE fleet_pool SET tick = $2, pool = $3 WHERE rollout = $1 AND tick = $4",
                &[rollout.into(), tick.into(), (&text(pool)?).into(), signed("a tick", from)?.into()],
            )
            .await
            .map_err(failed)?;
        if moved == 0 {
            return Ok(false);
        }
        tx.run(
            "DELETE FROM fleet_report AS old WHERE rollout = $1 AND tick < (
                 SELECT max(tick) FROM fleet_report WHERE rollout = $1 AND boot = old.boot AND tick <= $2)",
            &[rollout.into(), tick.into()],
        )
        .await
        .map_err(failed)?;
        for boot in buried {
            tx.run("DELETE FROM fleet_report WHERE rollout = $1 AND boot = $2", &[rollout.into(), boot.into()])
                .await
                .map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// Removes what was said about all rollouts of a model but this one.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn disband(&self, model: &str, keep: Option<&str>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.run(
            "DELETE FROM fleet_pool WHERE model = $1 AND ($2 IS NULL OR rollout <> $2)",
            &[model.into(), keep.into()],
        )
        .await
        .map_err(|error| self.failed(&error))?;
        tx.commit().await.map_err(|error| self.failed(&error))
    }
}

async fn insert_report(
    tx: &mut impl Sql,
    rollout: &str,
    boot: &str,
    report: &Report,
) -> Result<Result<u64, sqlx::Error>, StoreError> {
    let (tick, text) = (signed("a tick", report.tick)?, text(report)?);
    Ok(tx
        .run(
            "INSERT INTO fleet_report (rollout, boot, tick, report) VALUES ($1, $2, $3, $4)
             ON CONFLICT (rollout, boot, tick) DO NOTHING",
            &[rollout.into(), boot.into(), tick.into(), (&text).into()],
        )
        .await)
}

async fn clock(tx: &mut impl Sql) -> Result<Duration, sqlx::Error> {
    let rows: Vec<(f64,)> = tx.rows(CLOCK, &[]).await?;
    Ok(rows.first().and_then(|(at,)| Duration::try_from_secs_f64(*at).ok()).unwrap_or_default())
}

/// The report of a boot that has counted nothing by `now`.
fn nothing(pool: &Pool, now: Duration) -> Report {
    let tick = u64::try_from(now.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
    let share = |epochs: u64| Share { first: epochs, epochs, ..Share::default() };
    Report { tick, shares: pool.epochs().map(|(name, epochs)| (name.to_owned(), share(epochs))).collect(), last: false }
}

fn ago(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

fn text(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::invalid(format!("it cannot be stored: {error}")))
}

fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("{what} cannot be read; was it written by another version of perch? {error}");
        StoreError::new(ErrorKind::Incompatible, message)
    })
}
