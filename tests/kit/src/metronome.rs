//! How late the machine itself was: a test whose subject is how long something takes compares with that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::wait;

/// What is slept again and again.
const BEAT: Duration = Duration::from_millis(5);

/// One sleep: when it began, and when it was over.
type Beat = (Instant, Instant);

/// A thread that does nothing but sleep, and remembers how long that took. It ends when this is dropped.
pub struct Metronome {
    stop: Arc<AtomicBool>,
    beats: Arc<Mutex<Vec<Beat>>>,
    thread: Option<JoinHandle<()>>,
}

impl Metronome {
    /// Begins to beat.
    pub fn start() -> Self {
        let (stop, beats) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Beat>>>::default());
        let (stopped, heard) = (stop.clone(), beats.clone());
        let beat = move || {
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(BEAT);
                heard.lock().unwrap_or_else(PoisonError::into_inner).push((began, Instant::now()));
            }
        };
        let thread = Some(std::thread::spawn(beat));
        Self { stop, beats, thread }
    }

    /// By how much the latest beat was late of those that fell into this time, if only with a part of theirs.
    pub fn worst(&self, from: Instant, to: Instant) -> Duration {
        // The beat that goes on at `to` may be the latest of all: whoever asks may have been woken before it.
        wait::until("a beat", || {
            let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
            beats.last().is_some_and(|(_, ended)| *ended >= to).then(|| worst(&beats, from, to))
        })
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has no way to fail.
            let _ = thread.join();
        }
    }
}

fn worst(beats: &[Beat], from: Instant, to: Instant) -> Duration {
    let meets = beats.iter().filter(|(began, ended)| *began <= to && *ended >= from);
    meets.map(|(began, ended)| (*ended - *began).saturating_sub(BEAT)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_beat_of_a_time_is_found() {
        let zero = Instant::now();
        let at = |millis| zero + Duration::from_millis(millis);
        let beats = [(at(0), at(5)), (at(5), at(1010)), (at(1010), at(1018))];
        let late = |from, to| worst(&beats, at(from), at(to)).as_millis();
        assert_eq!((late(0, 4), late(1011, 1012), late(2000, 3000)), (0, 3, 0));
        // Half of it is enough: how it was shared out within the beat, nobody knows.
        assert_eq!((late(0, 700), late(700, 2000), late(600, 700)), (1000, 1000, 1000));
    }

    #[test]
    fn it_beats_until_it_is_dropped() {
        let metronome = Metronome::start();
        let (beats, began) = (metronome.beats.clone(), Instant::now());
        std::thread::sleep(4 * BEAT);
        let ended = Instant::now();
        assert!(metronome.worst(began, ended) < Duration::from_secs(60));
        assert!(beats.lock().unwrap().last().unwrap().1 >= ended);
        drop(metronome);
        assert_eq!(Arc::strong_count(&beats), 1, "the thread is gone");
    }
}
