//! What a node says of itself: on its status port, and to gRPC's health checks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use engine::Engine;
use program::pages::Inside;
use program::room::Room;
use proto::tinykvpb::tiny_kv_server::SERVICE_NAME;
use raftstore::Router;
use runtime::metrics::{Gauge, Metrics, Unit};
use runtime::shutdown::Stopping;
use serde_json::json;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::meters::EngineGauges;

/// How often those who watch the health of a node learn that it has changed.
const HEALTH_PERIOD: Duration = Duration::from_millis(100);

/// What there is to show once a node has opened what it keeps.
pub(crate) struct Kept {
    /// Its engines, by name.
    pub(crate) engines: Vec<(&'static str, Arc<dyn Engine>)>,
    /// Its place in a cluster, if it has one.
    pub(crate) place: Option<Place>,
}

/// A store of a cluster.
pub(crate) struct Place {
    /// The cluster.
    pub(crate) cluster: u64,
    /// The way to its regions.
    pub(crate) router: Router,
}

/// A node, for whoever looks at it.
pub(crate) struct Shown {
    address: String,
    stopping: Stopping,
    metrics: Metrics,
    room: Arc<Room>,
    calls: Gauge,
    bytes: Gauge,
    kept: OnceLock<(Kept, Vec<EngineGauges>)>,
}

impl Shown {
    /// A node that has just started.
    pub(crate) fn new(
        address: String,
        stopping: Stopping,
        room: Arc<Room>,
        metrics: &Metrics,
    ) -> Self {
        let calls = metrics.gauge("calls_under_way", Unit::Count, "Calls not answered yet");
        let bytes = metrics.gauge("calls_held", Unit::Bytes, "Bytes of these calls");
        let (metrics, kept) = (metrics.clone(), OnceLock::new());
        Shown { address, stopping, metrics, room, calls, bytes, kept }
    }

    /// From now on there is more to show.
    pub(crate) fn keeps(&self, kept: Kept) {
        let gauges = kept.engines.iter().map(|(name, _)| EngineGauges::new(&self.metrics, name));
        let gauges = gauges.collect();
        assert!(self.kept.set((kept, gauges)).is_ok(), "a node opens once what it keeps");
    }

    fn place(&self) -> Option<&Place> {
        self.kept.get()?.0.place.as_ref()
    }

    /// Tells gRPC's health checks how it is, for as long as it is asked.
    pub(crate) async fn report(self: Arc<Self>, health: HealthReporter) {
        let mut period = tokio::time::interval(HEALTH_PERIOD);
        let mut was_ready = None;
        loop {
            period.tick().await;
            let is_ready = self.readiness().is_ok();
            if was_ready.replace(is_ready) == Some(is_ready) {
                continue;
            }
            let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in ["", SERVICE_NAME] {
                health.set_service_status(service, status).await;
            }
        }
    }
}

impl Inside for Shown {
    fn status(&self) -> String {
        let views = self.place().map(|place| place.router.views()).unwrap_or_default();
        let leads = views.iter().filter(|view| view.leader == Some(view.peer)).count();
        let store = self.place().map(|place| {
            json!({
                "cluster": place.cluster,
                "store": place.router.store().get(),
                "regions": views.len(),
                "leaders": leads,
                "waiting": place.router.waiting(),
            })
        });
        let status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "address": self.address,
            "ready": self.readiness().is_ok(),
            "waits_for": self.readiness().err(),
            "calls": self.room.calls(),
            "member": store,
        });
        status.to_string()
    }

    fn readiness(&self) -> Result<(), String> {
        if self.stopping.is_asked() {
            return Err("it is stopping".to_owned());
        }
        if self.kept.get().is_none() {
            return Err("it has not joined its cluster yet".to_owned());
        }
        if self.place().is_some_and(|place| !place.router.is_caught_up()) {
            return Err("some of its regions have no leader, or much to apply".to_owned());
        }
        Ok(())
    }

    fn measure(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.calls.set(number(self.room.calls()));
        self.bytes.set(number(self.room.bytes()));
        let Some((kept, gauges)) = self.kept.get() else { return };
        for ((_, engine), gauges) in kept.engines.iter().zip(gauges) {
            gauges.measure(&**engine);
        }
    }
}
