//! Filters that may wait for others: to ask an authorisation service, say. While one call waits, the worker goes on with
//! other exchanges, and these have instances of their own: as many at once as the manifest allows.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Failed, Fresh, Link};
use crate::exchange::Exchange;
use crate::manifest::Isolation;
use crate::telemetry::FaultKind;
use crate::wasm::{Call, Fault, Instance};

/// The instances of one filter on one worker.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Those that no call holds.
    idle: RefCell<Vec<Reused>>,
    /// One for each that may be in a call.
    places: Semaphore,
}

/// An instance between two calls.
#[derive(Debug)]
struct Reused {
    instance: Instance,
    /// How many exchanges it has begun.
    begun: u32,
}

impl Crowd {
    pub(super) fn new(limit: usize) -> Self {
        Self { idle: RefCell::default(), places: Semaphore::new(limit) }
    }

    /// Adds an instance that is ready to be called.
    pub(super) fn add(&self, instance: Instance) {
        self.idle.borrow_mut().push(Reused { instance, begun: 0 });
    }

    /// True if no instance is ready to be called.
    pub(super) fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty()
    }
}

impl Link {
    /// Calls a phase of a filter that may wait.
    pub(super) async fn wait<C: Call>(
        &self,
        exchange: &mut Box<Exchange>,
        fresh: &mut Fresh,
        call: C,
    ) -> Result<C::Answer, Failed> {
        self.counters.call(call.phase());
        // Past its deadline, an exchange may still be told that it is over.
        let limit = match exchange.remaining() {
            Duration::ZERO => self.entry.filter.wait,
            remaining => self.entry.filter.wait.min(remaining),
        };
        let answer = match self.entry.isolation {
            Isolation::Worker => self.wait_on_any(exchange, call, limit).await,
            Isolation::Request => self.wait_on_own(exchange, fresh, call, limit).await,
        };
        answer.map_err(|fault| self.failed(call.phase(), exchange, &fault))
    }

    /// Calls a phase where nothing can wait: it fails if it would have to.
    pub(super) fn call_now<C: Call>(
        &self,
        exchange: &mut Box<Exchange>,
        fresh: &mut Fresh,
        call: C,
    ) -> Result<C::Answer, Failed> {
        if !self.waits {
            return self.call_at_once(exchange, fresh, call);
        }
        let mut context = Context::from_waker(Waker::noop());
        let polled = pin!(self.wait(exchange, fresh, call)).poll(&mut context);
        match polled {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let message = format!("it waited in `{}`, where the body streams", call.phase());
                Err(self.failed(call.phase(), exchange, &Fault { kind: FaultKind::Timeout, message }))
            }
        }
    }

    /// On an instance that no other exchange is calling; one more, if all are busy and there may be one.
    async fn wait_on_any<C: Call>(
        &self,
        exchange: &mut Box<Exchange>,
        call: C,
        limit: Duration,
    ) -> Result<C::Answer, Fault> {
        let begun = tokio::time::Instant::now();
        let place = tokio::time::timeout(limit, self.crowd.places.acquire()).await;
        // The semaphore is never closed.
        let _place = place.ok().and_then(Result::ok).ok_or_else(|| self.crowded())?;
        let idle = self.crowd.idle.borrow_mut().pop();
        let mut reused = match idle {
            Some(reused) => reused,
            None => {
                let instance = Instance::start(&self.entry.program, &self.entry.filter).await?;
                Reused { instance, begun: 0 }
            }
        };
        let left = limit.saturating_sub(begun.elapsed());
        let answer = reused.instance.wait(exchange, call, left).await?;
        reused.begun += u32::from(self.begins(call.phase()));
        let is_worn = self.entry.max_reuse.is_some_and(|limit| reused.begun >= limit);
        if !is_worn && !reused.instance.is_bloated() {
            self.crowd.idle.borrow_mut().push(reused);
        }
        Ok(answer)
    }

    /// On the exchange's own instance.
    async fn wait_on_own<C: Call>(
        &self,
        exchange: &mut Box<Exchange>,
        fresh: &mut Fresh,
        call: C,
        limit: Duration,
    ) -> Result<C::Answer, Fault> {
        let own = fresh.of(self)?;
        let mut instance = match own.take() {
            Some(instance) => instance,
            None => Instance::start(&self.entry.program, &self.entry.filter).await?,
        };
        let answer = instance.wait(exchange, call, limit).await?;
        *own = Some(instance);
        Ok(answer)
    }

    /// There are as many instances as there may be.
    pub(super) fn crowded(&self) -> Fault {
        let message = format!(
            "the worker had {} of it, as many as `limits.instances` allows",
            self.entry.filter.instances
        );
        Fault { kind: FaultKind::Instances, message }
    }
}
