//! A cap on concurrent work at an origin, with a bounded queue in front: who is asked for goes before who is not
//! (semantics 24: a prerender, or a page that is refreshed ahead of its time, can wait).

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::oneshot;

#[derive(Clone, Copy, Debug)]
pub struct GateSettings {
    pub max_concurrent: usize,
    pub queue: usize,
}

/// In which line somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A visitor asked for the page.
    Asked,
    /// Nobody did: such work gets a place only when nobody of the other line waits for one.
    Unasked,
}

pub struct Gate(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    settings: GateSettings,
    queued: AtomicUsize,
    in_flight: Gauge,
    waiting: Gauge,
}

struct State {
    free: usize,
    /// By [`Line`], the first to come in front. Who has left is met when it is his turn.
    lines: [VecDeque<oneshot::Sender<Pass>>; 2],
}

/// A place at the origin, given to the next one on drop.
pub struct Pass(Option<Arc<Shared>>);

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.in_flight.dec();
            shared.hand_on();
        }
    }
}

/// Counted down on drop, also when the one who waits goes away.
struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
        self.0.waiting.dec();
    }
}

impl Gate {
    pub fn new(settings: GateSettings, in_flight: Gauge, waiting: Gauge) -> Self {
        let state = State { free: settings.max_concurrent.max(1), lines: Default::default() };
        Gate(Arc::new(Shared { state: Mutex::new(state), settings, queued: AtomicUsize::new(0), in_flight, waiting }))
    }

    /// Waits for a place; `None` when the queue is full.
    pub async fn enter(&self, line: Line) -> Option<Pass> {
        let (waiting, place) = {
            let mut state = self.0.state.lock();
            if state.free > 0 {
                state.free -= 1;
                drop(state);
                return Some(self.0.pass());
            }
            let waiting = self.0.queue_up(line)?;
            let (sender, place) = oneshot::channel();
            let waiters = &mut state.lines[line as usize];
            if waiters.len() > 2 * self.0.settings.queue {
                waiters.retain(|waiter| !waiter.is_closed());
            }
            waiters.push_back(sender);
            (waiting, place)
        };
        let pass = place.await.ok();
        drop(waiting);
        pass
    }
}

impl Shared {
    fn pass(self: &Arc<Self>) -> Pass {
        self.in_flight.inc();
        Pass(Some(self.clone()))
    }

    fn queue_up(&self, line: Line) -> Option<Waiting<'_>> {
        // Who is not asked for leaves half of the room to who is.
        let most = match line {
            Line::Asked => self.settings.queue,
            Line::Unasked => self.settings.queue.div_ceil(2),
        };
        let room = |n: usize| (n < most).then_some(n + 1);
        self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        self.waiting.inc();
        Some(Waiting(self))
    }

    /// Gives a place that became free to the first who still waits.
    fn hand_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.lines.iter_mut().find_map(VecDeque::pop_front);
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(waiter) = next else { return };
            let Err(mut unwanted) = waiter.send(self.pass()) else { return };
            // He has left: the place goes on to the next, and not through this pass' own end.
            unwanted.0 = None;
            self.in_flight.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, GateSettings, Line};
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    fn gate(max_concurrent: usize, queue: usize) -> Gate {
        Gate::new(GateSettings { max_concurrent, queue }, Default::default(), Default::default())
    }

    fn poll<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn is_ready<F: Future>(future: &mut Pin<&mut F>) -> bool {
        poll(future).is_ready()
    }

    #[test]
    fn who_is_asked_for_goes_before_who_came_earlier_and_is_not() {
        let gate = gate(1, 10);
        let Poll::Ready(Some(held)) = poll(&mut pin!(gate.enter(Line::Unasked))) else { panic!("a free place") };
        let (mut unasked, mut asked) = (pin!(gate.enter(Line::Unasked)), pin!(gate.enter(Line::Asked)));
        assert!(!is_ready(&mut unasked) && !is_ready(&mut asked));
        drop(held);
        assert!(!is_ready(&mut unasked));
        let Poll::Ready(Some(held)) = poll(&mut asked) else { panic!("his turn") };
        assert!(!is_ready(&mut unasked));
        drop(held);
        assert!(is_ready(&mut unasked));
    }

    #[test]
    fn a_place_goes_past_those_who_left_and_is_never_lost() {
        let gate = gate(1, 10);
        let Poll::Ready(Some(held)) = poll(&mut pin!(gate.enter(Line::Asked))) else { panic!("a free place") };
        let mut last = pin!(gate.enter(Line::Unasked));
        {
            let mut left = pin!(gate.enter(Line::Asked));
            assert!(!is_ready(&mut left) && !is_ready(&mut last));
        }
        drop(held);
        {
            // Told that it is his turn, and gone before he took it.
            let Poll::Ready(Some(held)) = poll(&mut last) else { panic!("his turn") };
            let mut told = Box::pin(gate.enter(Line::Asked));
            assert!(!is_ready(&mut told.as_mut()));
            drop(held);
            drop(told);
        }
        assert!(is_ready(&mut pin!(gate.enter(Line::Asked))));
    }

    #[test]
    fn a_full_queue_takes_nobody_in_and_those_who_left_do_not_count() {
        let gate = gate(1, 1);
        let Poll::Ready(Some(_held)) = poll(&mut pin!(gate.enter(Line::Asked))) else { panic!("a free place") };
        {
            let mut waits = pin!(gate.enter(Line::Asked));
            assert!(!is_ready(&mut waits));
            assert!(matches!(poll(&mut pin!(gate.enter(Line::Asked))), Poll::Ready(None)));
        }
        assert!(matches!(poll(&mut pin!(gate.enter(Line::Unasked))), Poll::Pending));
    }
}
