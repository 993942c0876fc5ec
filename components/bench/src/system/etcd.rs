//! etcd, and whatever else serves its keys: one connection, to the member that leads.

use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{PutRequest, RangeRequest, StatusRequest};
use runtime::Rng;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::{ConnectError, Done, Failure, check};
use crate::keys::{Values, key, number};
use crate::workload::Operation;

/// A client of the leader; clones share its connection.
#[derive(Clone)]
pub(crate) struct Etcd {
    kv: KvClient<Channel>,
    values: Arc<Values>,
}

fn failure(status: &Status) -> Failure {
    Failure::Unknown(format!("{:?}: {}", status.code(), status.message()))
}

impl Etcd {
    /// Connects to the leader among these members. Who does not know what that is, is taken for it.
    pub(crate) async fn connect(hosts: &str, values: &Arc<Values>) -> Result<Self, ConnectError> {
        for host in hosts.split(',') {
            let refused = |error| ConnectError(format!("{host}: {error}"));
            let endpoint = Endpoint::try_from(format!("http://{host}")).map_err(refused)?;
            let channel = endpoint.tcp_nodelay(true).connect().await.map_err(refused)?;
            let status = MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await;
            let leads = status.map_or(true, |status| {
                let status = status.into_inner();
                status.header.is_some_and(|header| header.member_id == status.leader)
            });
            if leads {
                let kv = KvClient::new(channel).max_decoding_message_size(64 << 20);
                return Ok(Etcd { kv, values: Arc::clone(values) });
            }
        }
        Err(ConnectError(format!("{hosts}: none of them leads")))
    }

    /// Does an operation.
    pub(crate) async fn perform(
        &mut self,
        operation: Operation,
        rng: &mut Rng,
    ) -> Result<Done, Failure> {
        match operation {
            Operation::Get { key, filled } => self.get(key, filled).await,
            Operation::Put { key: number } => {
                let value = self.values.of(number, rng);
                let request = PutRequest { key: key(number), value, ..PutRequest::default() };
                let put = self.kv.put(request).await;
                put.map(|_| Done::rows(0)).map_err(|status| failure(&status))
            }
            Operation::Scan { key, rows } => self.scan(key, rows).await,
            Operation::ReadModifyWrite { .. }
            | Operation::Pair { .. }
            | Operation::Transfer { .. }
            | Operation::Timestamp => Err(Failure::Refused("it is not asked for this".to_owned())),
        }
    }

    async fn get(&mut self, number: u64, filled: u64) -> Result<Done, Failure> {
        let request = RangeRequest { key: key(number), ..RangeRequest::default() };
        let found = self.kv.range(request).await.map_err(|status| failure(&status))?;
        let value = found.get_ref().kvs.first().map(|pair| pair.value.as_ref());
        check(&self.values, number, filled, value)
    }

    async fn scan(&mut self, first: u64, rows: usize) -> Result<Done, Failure> {
        let request = RangeRequest {
            key: key(first),
            // All that follow, in etcd's words.
            range_end: Bytes::from_static(b"\0"),
            limit: i64::try_from(rows).unwrap_or(i64::MAX),
            ..RangeRequest::default()
        };
        let found = self.kv.range(request).await.map_err(|status| failure(&status))?;
        for pair in &found.get_ref().kvs {
            let fits =
                number(&pair.key).is_some_and(|number| self.values.fits(number, &pair.value));
            if !fits {
                return Err(Failure::Wrong(format!(
                    "a scan has {:?}, and not its value",
                    pair.key
                )));
            }
        }
        Ok(Done::rows(found.get_ref().kvs.len()))
    }
}
