//! One interleaving: its steps, drawn from a seed, and how they are taken.

use crate::desk::{End, Reply};
use crate::ledger::Ledger;
use crate::stage::{Kind, Stage};
use crate::support::Rng;
use engine::invalidate::{Invalidation, Mode, Target};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};

#[derive(Clone, Copy, Debug, Hash)]
enum Step {
    Visit(usize),
    Order(usize),
    Invalidate(Mode, What),
    /// The open request at that place gets its head, or all.
    Answer(usize, Reply),
    /// The open request at that place gets the end of its body.
    End(usize, End),
    /// So many milliseconds pass.
    Wait(u64),
    /// Everybody goes as far as he gets.
    Run,
}

#[derive(Clone, Copy, Debug, Hash)]
enum What {
    Path(usize),
    Tag(usize),
    TagOfBoth,
    Prefix,
    Route,
}

/// How it went.
pub struct Played {
    pub wrong: Vec<String>,
    pub overtaken: usize,
    kind: Kind,
    pages: usize,
    steps: Vec<Step>,
}

impl Played {
    /// Its steps, for people.
    pub fn told(&self) -> String {
        format!("{:?}, {} pages: {:?}", self.kind, self.pages, self.steps)
    }

    /// The same for the same steps on the same kind of pages.
    pub fn digest(&self) -> u64 {
        let mut digest = DefaultHasher::new();
        (self.kind, self.pages, &self.steps).hash(&mut digest);
        digest.finish()
    }
}

pub struct Schedule {
    stage: Arc<Stage>,
    rng: Rng,
    seed: u64,
    kind: Kind,
    pages: usize,
    steps: Vec<Step>,
    tasks: Vec<JoinHandle<()>>,
}

impl Schedule {
    pub fn new(stage: &Arc<Stage>, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let kind = Kind::ALL[rng.index(Kind::ALL.len())];
        let pages = 1 + rng.index(2);
        stage.desk.says(kind.cache_control());
        Schedule { stage: stage.clone(), rng, seed, kind, pages, steps: Vec::new(), tasks: Vec::new() }
    }

    pub async fn play(mut self) -> Played {
        let steps = 5 + self.rng.below(8);
        for _ in 0..steps {
            let step = self.draw();
            self.take(step).await;
            // Where nothing runs in between, the next step is the first of both that anybody notices.
            if self.rng.chance(75) {
                self.take(Step::Run).await;
            }
        }
        if self.comes_to_rest().await && self.rng.chance(15) {
            self.gets_well().await;
        }
        let Ledger { wrong, overtaken, .. } = std::mem::take(&mut *self.stage.ledger.lock());
        Played { wrong, overtaken, kind: self.kind, pages: self.pages, steps: self.steps }
    }

    fn draw(&mut self) -> Step {
        let open = self.stage.desk.open();
        match self.rng.below(100) {
            0..18 => Step::Invalidate(self.mode(), self.what()),
            18..22 => Step::Order(self.page()),
            22..28 => Step::Wait([500, 500, 4_000, 11_000, 61_000][self.rng.index(5)]),
            28..65 if !open.is_empty() => {
                let place = self.rng.index(open.len());
                match open[place] {
                    Some(confirms) => Step::Answer(place, self.reply(confirms)),
                    None => Step::End(place, if self.rng.chance(15) { End::Broken } else { End::Whole }),
                }
            }
            _ => Step::Visit(self.page()),
        }
    }

    fn page(&mut self) -> usize {
        self.rng.index(self.pages)
    }

    fn mode(&mut self) -> Mode {
        match self.rng.below(10) {
            0 => Mode::Validate,
            1..6 => Mode::Hard,
            _ => Mode::Soft,
        }
    }

    fn what(&mut self) -> What {
        match self.rng.below(10) {
            0..4 => What::Path(self.page()),
            4..7 => What::Tag(self.page()),
            7 => What::TagOfBoth,
            8 => What::Prefix,
            _ => What::Route,
        }
    }

    fn reply(&mut self, confirms: bool) -> Reply {
        match self.rng.below(20) {
            0..8 if confirms => Reply::NotModified,
            8..14 => Reply::Begun,
            14..17 => Reply::Sorry,
            _ => Reply::Whole,
        }
    }

    async fn take(&mut self, step: Step) {
        self.steps.push(step);
        let (stage, kind) = (self.stage.clone(), self.kind);
        match step {
            Step::Visit(page) => {
                let visit = stage.visit(kind, page, self.path(page));
                self.tasks.push(tokio::spawn(visit));
            }
            Step::Order(page) => {
                let order = stage.order(kind, page, self.path(page));
                self.tasks.push(tokio::spawn(order));
            }
            Step::Invalidate(mode, what) => self.invalidate(mode, what),
            Step::Answer(place, reply) => stage.desk.answer(place, reply),
            Step::End(place, end) => stage.desk.end(place, end),
            Step::Wait(millis) => {
                // What was answered before was answered in time.
                run().await;
                stage.clock.advance(Duration::from_millis(millis));
            }
            Step::Run => run().await,
        }
    }

    fn path(&self, page: usize) -> String {
        format!("{}{}", self.prefix(), ["a", "b"][page])
    }

    fn prefix(&self) -> String {
        format!("/{}/{}/", self.kind.route(), self.seed)
    }

    fn invalidate(&self, mode: Mode, what: What) {
        let seed = self.seed;
        let (target, pages) = match what {
            What::Path(page) => (Target::Path(self.path(page)), page..page + 1),
            What::Tag(page) => (Target::Tag(format!("t{seed}{}", ["a", "b"][page])), page..page + 1),
            What::TagOfBoth => (Target::Tag(format!("t{seed}")), 0..2),
            What::Prefix => (Target::Prefix(self.prefix()), 0..2),
            What::Route => (Target::Route(self.kind.route().to_owned()), 0..2),
        };
        for page in pages {
            self.stage.ledger.lock().invalidate(page, mode);
        }
        self.stage.engine.invalidate(&[Invalidation { target, host: None, mode }]).unwrap();
    }

    /// Everything is answered, and everybody comes to his end. `false`: somebody does not.
    async fn comes_to_rest(&mut self) -> bool {
        for _ in 0..32 {
            run().await;
            let fills = self.stage.engine.fills();
            if fills == 0 && self.stage.desk.open().is_empty() && self.tasks.iter().all(JoinHandle::is_finished) {
                return true;
            }
            self.stage.desk.serve_all();
        }
        let waiting = self.tasks.iter().filter(|task| !task.is_finished()).count();
        let fills = self.stage.engine.fills();
        self.stage.ledger.lock().wrong.push(format!("{waiting} wait for ever, and {fills} fills do not end"));
        false
    }

    /// Every back-off is over: a second visit finds what the origin has, and fresh.
    async fn gets_well(&mut self) {
        self.take(Step::Wait(31_000)).await;
        for page in 0..self.pages {
            for _ in 0..2 {
                self.take(Step::Visit(page)).await;
                if !self.comes_to_rest().await {
                    return;
                }
            }
            self.stage.ledger.lock().is_well(page);
        }
    }
}

/// Everybody runs until he waits for something: nobody who is played here waits for time.
async fn run() {
    for _ in 0..3 {
        yield_now().await;
    }
}
