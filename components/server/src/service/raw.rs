//! Raw calls.

use proto::kvrpcpb::{
    KvPair, RawDeleteRequest, RawDeleteResponse, RawGetRequest, RawGetResponse, RawPutRequest,
    RawPutResponse, RawScanRequest, RawScanResponse,
};
use tonic::Status;

use super::{Service, context};
use crate::respond::refusal;

impl Service {
    pub(super) async fn raw_get(&self, request: RawGetRequest) -> Result<RawGetResponse, Status> {
        let context = context(request.context);
        let mut response = RawGetResponse::default();
        match self.kv.raw_get(&context, &request.cf, request.key).await {
            Ok(Some(value)) => response.value = value,
            Ok(None) => response.not_found = true,
            Err(error) => {
                let refused = refusal(&self.seen(error))?;
                (response.region_error, response.error) = (refused.region, refused.text);
            }
        }
        Ok(response)
    }

    pub(super) async fn raw_put(&self, request: RawPutRequest) -> Result<RawPutResponse, Status> {
        let context = context(request.context);
        let mut response = RawPutResponse::default();
        let put = self.kv.raw_put(&context, &request.cf, request.key, request.value);
        if let Err(error) = put.await {
            let refused = refusal(&self.seen(error))?;
            (response.region_error, response.error) = (refused.region, refused.text);
        }
        Ok(response)
    }

    pub(super) async fn raw_delete(
        &self,
        request: RawDeleteRequest,
    ) -> Result<RawDeleteResponse, Status> {
        let context = context(request.context);
        let mut response = RawDeleteResponse::default();
        if let Err(error) = self.kv.raw_delete(&context, &request.cf, request.key).await {
            let refused = refusal(&self.seen(error))?;
            (response.region_error, response.error) = (refused.region, refused.text);
        }
        Ok(response)
    }

    pub(super) async fn raw_scan(
        &self,
        request: RawScanRequest,
    ) -> Result<RawScanResponse, Status> {
        let context = context(request.context);
        let mut response = RawScanResponse::default();
        let scan = self.kv.raw_scan(&context, &request.cf, request.start_key, request.limit);
        match scan.await {
            Ok(pairs) => {
                let pair = |(key, value)| KvPair { error: None, key, value };
                response.kvs = pairs.into_iter().map(pair).collect();
            }
            Err(error) => {
                let refused = refusal(&self.seen(error))?;
                (response.region_error, response.error) = (refused.region, refused.text);
            }
        }
        Ok(response)
    }
}
