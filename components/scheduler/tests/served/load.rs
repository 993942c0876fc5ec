//! Clients that want timestamps all the time, from whoever leads, and what must be true of what they get.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::schedulerpb::scheduler_client::SchedulerClient;
use proto::schedulerpb::{GetMembersRequest, RequestHeader, TsoRequest};
use scheduler::tso::compose;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

use crate::fixture::{Client, Requests, channel};

/// Clients at a time, and timestamps that each asks for at once.
const CLIENTS: usize = 4;
const COUNT: u32 = 10;

/// The pace of a client.
const PAUSE: Duration = Duration::from_millis(1);

/// The last of some timestamps, and the place of the scheduler that gave them.
type Given = (u64, usize);

struct Shared {
    channels: Vec<Channel>,
    header: Option<RequestHeader>,
    /// The greatest that anybody has got so far.
    newest: AtomicU64,
    given: Mutex<Vec<Given>>,
    is_over: AtomicBool,
}

/// Clients of several schedulers.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts asking.
    pub(crate) async fn start(urls: &[String]) -> Self {
        let mut channels = Vec::new();
        for url in urls {
            channels.push(channel(url).await);
        }
        let mut client = SchedulerClient::new(channels[0].clone());
        let members = client.get_members(GetMembersRequest::default()).await.unwrap().into_inner();
        let cluster_id = members.header.unwrap().cluster_id;
        let shared = Arc::new(Shared {
            channels,
            header: Some(RequestHeader { cluster_id }),
            newest: AtomicU64::new(0),
            given: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(Arc::clone(&shared).ask_everywhere());
        }
        Load { shared, clients }
    }

    pub(crate) fn header(&self) -> Option<RequestHeader> {
        self.shared.header
    }

    /// A client of the scheduler at a place.
    pub(crate) fn client(&self, place: usize) -> Client {
        SchedulerClient::new(self.shared.channels[place].clone())
    }

    /// Who gave the newest timestamp.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.shared.given.lock().unwrap().last().map(|(_, place)| *place)
    }

    /// Stops asking. All in all, no timestamp was given twice.
    pub(crate) async fn stop(mut self) -> usize {
        self.shared.is_over.store(true, Ordering::SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("time never goes back");
        }
        let mut given = std::mem::take(&mut *self.shared.given.lock().unwrap());
        given.sort_unstable();
        let twice = given.windows(2).find(|pair| pair[1].0 - pair[0].0 < u64::from(COUNT));
        assert_eq!(twice, None, "{COUNT} at a time");
        given.len()
    }
}

impl Shared {
    async fn ask_everywhere(self: Arc<Self>) {
        let mut place = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            // It does not lead, or is gone, or has just lost its lease.
            let _refused = self.ask(place).await;
            place = (place + 1) % self.channels.len();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self, place: usize) -> Result<(), Status> {
        let mut client = SchedulerClient::new(self.channels[place].clone());
        let (sender, receiver) = mpsc::channel(1);
        let mut answers = client.tso(Requests(receiver)).await?.into_inner();
        let gone = || Status::unavailable("nobody is there any more");
        while !self.is_over.load(Ordering::SeqCst) {
            let floor = self.newest.load(Ordering::SeqCst);
            let request = TsoRequest { header: self.header, count: COUNT };
            sender.send(request).await.map_err(|_| gone())?;
            let answer = answers.message().await?.ok_or_else(gone)?;
            let last = compose(answer.timestamp.unwrap());
            let first = last + 1 - u64::from(answer.count);
            assert!(first > floor && answer.count == COUNT, "{first} of {place} after {floor}");
            self.newest.fetch_max(last, Ordering::SeqCst);
            self.given.lock().unwrap().push((last, place));
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}
