//! A server of etcd's messages with nothing behind it: as fast as anything over this transport can be.

use proto::etcdserverpb::kv_server::{Kv, KvServer};
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use proto::mvccpb::KeyValue;
use runtime::Rng;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::keys::{Values, number};

/// Serves until the process ends. What every get answers is made from its key, and so it is right.
pub(crate) async fn serve(listener: TcpListener, values: Values) -> Result<(), String> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = Server::builder().add_service(KvServer::new(Bare { values }));
    serving.serve_with_incoming(incoming).await.map_err(|error| error.to_string())
}

struct Bare {
    values: Values,
}

/// What is not measured is not answered.
fn unused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the bare server answers gets and puts"))
}

#[tonic::async_trait]
impl Kv for Bare {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let key = request.into_inner().key;
        let number = number(&key).ok_or_else(|| Status::invalid_argument("no key of a load"))?;
        let value = self.values.of(number, &mut Rng::new(number));
        let kvs = vec![KeyValue { key, value, ..KeyValue::default() }];
        Ok(Response::new(RangeResponse { kvs, count: 1, ..RangeResponse::default() }))
    }

    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        Ok(Response::new(PutResponse::default()))
    }

    async fn delete_range(
        &self,
        _: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        unused()
    }

    async fn txn(&self, _: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        unused()
    }

    async fn compact(
        &self,
        _: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        unused()
    }
}
