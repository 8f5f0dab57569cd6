//! A few hundred operations on a store, drawn from a seed.

use super::super::files::Files;
use super::Life;
use super::faulty::Faulty;
use super::ledger::Past;
use super::pages::{Key, bytes, keys, validated, version, version_of};
use super::rng::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

pub(super) struct Scenario {
    pub(super) keys: Vec<Key>,
    pub(super) pasts: Vec<Past>,
    pub(super) life: Life,
    files: Faulty,
    chance: Rng,
    numbers: u64,
    /// Nothing fails: what is acknowledged is stored.
    strict: bool,
}

impl Scenario {
    /// `through`: how the store sees `files`.
    pub(super) fn new(files: &Faulty, through: Arc<dyn Files>, max_size: u64, strict: bool, seed: u64) -> Scenario {
        let (life, keys) = (Life::begin(through, max_size), keys());
        let pasts = keys.iter().map(|_| Past::default()).collect();
        Scenario { keys, pasts, life, files: files.clone(), chance: Rng(seed), numbers: 0, strict }
    }

    /// Does something. Looks at a key now and then, and says what is wrong with it.
    pub(super) fn go_on(&mut self, runtime: &Runtime) -> Result<(), String> {
        let key = self.chance.index(self.keys.len());
        match self.chance.below(100) {
            0..=49 => self.put(key),
            50..=61 => self.validate(key),
            62..=69 => {
                self.pasts[key].gone(self.files.operations());
                self.life.remove(&self.keys[key]);
            }
            70..=81 => self.step(),
            82..=91 => drop(self.settle()),
            92..=94 => self.life.disk.write_snapshot(),
            _ => return self.look(key, runtime),
        }
        Ok(())
    }

    pub(super) fn put(&mut self, key: usize) {
        self.numbers += 1;
        let stored = version(&self.keys[key], self.numbers, &mut self.chance);
        self.pasts[key].put(self.numbers, stored.clone(), self.files.operations());
        self.life.put(stored.slot);
    }

    /// Puts something that has room nearly everywhere.
    pub(super) fn put_small(&mut self, key: usize) {
        self.numbers += 1;
        let body = bytes(10, &mut self.chance);
        let stored = version_of(&self.keys[key], self.numbers, body, &mut self.chance);
        self.pasts[key].put(self.numbers, stored.clone(), self.files.operations());
        self.life.put(stored.slot);
    }

    fn validate(&mut self, key: usize) {
        let Some(last) = self.pasts[key].last() else { return };
        self.numbers += 1;
        let Some(stored) = validated(&self.life, &self.keys[key], self.numbers, last, &mut self.chance) else { return };
        self.pasts[key].put(self.numbers, stored.clone(), self.files.operations());
        self.life.put(stored.slot);
    }

    fn step(&mut self) {
        self.life.clock.advance(Duration::from_millis(self.chance.below(700)));
        self.watched(Life::step);
    }

    /// Says whether everything is done.
    pub(super) fn settle(&mut self) -> bool {
        let settled = self.watched(Life::settle);
        if settled {
            let at = self.files.operations();
            for (past, key) in self.pasts.iter_mut().zip(&self.keys) {
                past.acknowledge(self.life.disk.index.has(key.hash()), at);
            }
        }
        settled
    }

    /// Notes what was evicted meanwhile.
    fn watched<T>(&mut self, act: impl FnOnce(&mut Life) -> T) -> T {
        let (at, life) = (self.files.operations(), &mut self.life);
        let before: Vec<bool> = self.keys.iter().map(|key| life.disk.index.has(key.hash())).collect();
        let done = act(life);
        for (key, before) in before.into_iter().enumerate() {
            if before && !life.disk.index.has(self.keys[key].hash()) && self.pasts[key].last().is_some() {
                self.pasts[key].evicted(at);
            }
        }
        done
    }

    pub(super) fn look(&mut self, key: usize, runtime: &Runtime) -> Result<(), String> {
        let past = &self.pasts[key];
        past.check(&self.life, &self.keys[key], usize::MAX, self.strict, runtime).map(drop)
    }
}
