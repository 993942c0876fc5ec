//! Who the schedulers are, and which of them answers.
//!
//! Any member tells who the members are and who leads; only the leader answers everything else. So a
//! client starts with the addresses it was given, asks one after the other until somebody knows a leader,
//! and stays with that one until a call fails. Then it looks again, starting with the addresses it was
//! told last: members come and go while a client lives.
//!
//! The first answer also tells which cluster this is. Every later request names it, and an address that
//! turns out to belong to another cluster is refused instead of believed.

use std::sync::OnceLock;

use proto::schedulerpb::scheduler_client::SchedulerClient as Stub;
use proto::schedulerpb::{GetMembersRequest, GetMembersResponse, RequestHeader};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::config::Config;
use crate::dial::{dial, url};
use crate::error::Cause;

/// Members that are remembered; a list that is longer is nonsense.
const MEMBERS_MAX: usize = 64;

/// The leader, as it was found once.
#[derive(Clone)]
pub(crate) struct Leader {
    /// What calls go through.
    pub(crate) stub: Stub<Channel>,
    /// What stands before every request.
    pub(crate) header: Option<RequestHeader>,
    /// Where it is.
    pub(crate) url: String,
    /// How often a leader had been found before.
    number: u64,
}

/// What is known of the members.
pub(crate) struct Members {
    config: Config,
    cluster: OnceLock<u64>,
    /// The addresses that the client was given. They are kept: what members say of themselves may be
    /// right only on their own machine.
    given: Vec<String>,
    /// Locked while a leader is looked for, so that those who miss it look for it together.
    known: Mutex<Known>,
}

struct Known {
    told: Vec<String>,
    leader: Option<Leader>,
    found: u64,
}

/// Why there is no leader to ask.
pub(crate) enum NoLeader {
    /// Nobody we asked knows one: the last of them, and what was wrong.
    Unknown(String, String),
    /// Looking on would be wrong.
    Final(Cause),
}

impl Members {
    pub(crate) fn new(given: Vec<String>, config: Config) -> Self {
        let known = Mutex::new(Known { told: Vec::new(), leader: None, found: 0 });
        Members { config, cluster: OnceLock::new(), given, known }
    }

    /// How patient to be.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The cluster, once somebody has said which one it is.
    pub(crate) fn cluster(&self) -> Option<u64> {
        self.cluster.get().copied()
    }

    /// Who to ask: the leader as it was found, or as it is found now.
    pub(crate) async fn leader(&self) -> Result<Leader, NoLeader> {
        let mut known = self.known.lock().await;
        if let Some(leader) = &known.leader {
            return Ok(leader.clone());
        }
        let mut last = NoLeader::Unknown("the scheduler".to_owned(), "no address".to_owned());
        let told = known.told.clone();
        let others = self.given.iter().filter(|url| !told.contains(url));
        for url in told.iter().chain(others) {
            match self.ask(url, &mut known).await {
                Ok(leader) => {
                    known.leader = Some(leader.clone());
                    return Ok(leader);
                }
                Err(failed @ NoLeader::Unknown(..)) => last = failed,
                Err(failed @ NoLeader::Final(_)) => return Err(failed),
            }
        }
        Err(last)
    }

    /// The leader did not answer as a leader does. Others may have noticed before, and found another.
    pub(crate) async fn forget(&self, leader: &Leader) {
        let mut known = self.known.lock().await;
        if known.leader.as_ref().is_some_and(|known| known.number == leader.number) {
            known.leader = None;
        }
    }

    /// Asks one member who leads, and connects to that one.
    async fn ask(&self, member: &str, known: &mut Known) -> Result<Leader, NoLeader> {
        let unknown = |what: String| NoLeader::Unknown(member.to_owned(), what);
        let channel = dial(member, self.config.connect).await.map_err(unknown)?;
        let mut stub = Stub::new(channel.clone());
        let asked = stub.get_members(GetMembersRequest::default());
        let answer = timeout(self.config.scheduler_attempt, asked).await;
        let answer = answer.map_err(|_| unknown("no answer in time".to_owned()))?;
        let answer = answer.map_err(|status| unknown(status.message().to_owned()))?.into_inner();
        let header = Some(RequestHeader { cluster_id: self.join(member, &answer)? });
        known.told = addresses(&answer);

        let leader = answer.leader.ok_or_else(|| unknown("it knows no leader".to_owned()))?;
        let mut refused = "the leader has no address".to_owned();
        for address in leader.client_urls.iter().take(MEMBERS_MAX) {
            let connected = match url(address) {
                Ok(url) if url == member => Ok((channel.clone(), url)),
                Ok(url) => dial(&url, self.config.connect).await.map(|channel| (channel, url)),
                Err(error) => Err(error),
            };
            match connected {
                Ok((channel, url)) => {
                    known.found += 1;
                    let (stub, number) = (Stub::new(channel), known.found);
                    return Ok(Leader { stub, header, url, number });
                }
                Err(error) => refused = format!("the leader at {address}: {error}"),
            }
        }
        Err(unknown(refused))
    }

    /// The cluster that a member belongs to, which is ours.
    fn join(&self, member: &str, answer: &GetMembersResponse) -> Result<u64, NoLeader> {
        let Some(header) = &answer.header else {
            let what = "its answer has no header".to_owned();
            return Err(NoLeader::Unknown(member.to_owned(), what));
        };
        let ours = *self.cluster.get_or_init(|| header.cluster_id);
        if ours != header.cluster_id {
            let theirs = header.cluster_id;
            let what = format!("{member} belongs to cluster {theirs}, not to {ours}");
            return Err(NoLeader::Final(Cause::ForeignCluster(what)));
        }
        Ok(ours)
    }
}

/// Where the members say that they can be reached.
fn addresses(answer: &GetMembersResponse) -> Vec<String> {
    let told = answer.members.iter().flat_map(|member| &member.client_urls);
    let mut urls: Vec<String> = told.take(MEMBERS_MAX).filter_map(|told| url(told).ok()).collect();
    urls.dedup();
    urls
}
