//! The status port: a few pages for people, probes and Prometheus, over HTTP/1.1.
//!
//! | page | answer |
//! |---|---|
//! | `/metrics` | what is counted, as Prometheus reads it |
//! | `/status` | what the program knows of itself, as JSON |
//! | `/livez` | 200 while the process answers |
//! | `/readyz` | 200 while calls find here what they need, 503 and the reason otherwise |
//! | `/config` | the effective settings, each with where it came from |
//! | `/log-level` | what is logged; `PUT` one of the levels to change it until the process ends |
//!
//! A program says what only it knows, as an [`Inside`]. Nothing here is asked more often than pages are
//! read, so what is cheap to find out and dear to keep up to date is measured at that moment.

mod http;

use std::sync::Arc;

use runtime::log::Level;
use runtime::metrics::{CONTENT_TYPE, Metrics};
use slog::{Logger, info};
use tokio::net::TcpListener;

use crate::About;
use http::{Request, Response};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What a program says of itself.
pub trait Inside: Send + Sync + 'static {
    /// What it knows, as a JSON object.
    fn status(&self) -> String;

    /// Whether calls find here what they need; if not, why.
    fn readiness(&self) -> Result<(), String>;

    /// Brings metrics up to date that are measured only when somebody looks.
    fn measure(&self) {}
}

/// What pages are made from.
pub struct Pages {
    /// The program.
    pub inside: Arc<dyn Inside>,
    /// What it counts.
    pub metrics: Metrics,
    /// How it was started.
    pub about: About,
    /// Where it is told that somebody has changed what is logged.
    pub logger: Logger,
}

impl Pages {
    /// Serves until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let pages = Arc::new(self);
        http::serve(listener, move |request| pages.answer(request)).await;
    }

    fn answer(&self, request: &Request<'_>) -> Response {
        let response = match request.path {
            "/metrics" => {
                self.inside.measure();
                Response::new(200, CONTENT_TYPE, self.metrics.text())
            }
            "/status" => Response::new(200, JSON, self.inside.status() + "\n"),
            "/livez" => Response::new(200, TEXT, "ok\n"),
            "/readyz" => match self.inside.readiness() {
                Ok(()) => Response::new(200, TEXT, "ok\n"),
                Err(why) => Response::new(503, TEXT, why + "\n"),
            },
            "/config" => Response::new(200, TEXT, self.about.settings.clone()),
            "/log-level" => return self.level(request),
            "/" => Response::new(200, TEXT, LIST),
            _ => return Response::new(404, TEXT, LIST),
        };
        if request.method == "GET" {
            return response;
        }
        Response::new(405, TEXT, "only GET is answered here\n")
    }

    fn level(&self, request: &Request<'_>) -> Response {
        let switch = &self.about.level;
        match request.method {
            "GET" => {}
            "PUT" => match request.body.trim().parse::<Level>() {
                Ok(level) => {
                    switch.set(level);
                    info!(self.logger, "logging at another level"; "level" => level.as_str());
                }
                Err(error) => return Response::new(400, TEXT, format!("{error}\n")),
            },
            _ => return Response::new(405, TEXT, "only GET and PUT are answered here\n"),
        }
        Response::new(200, TEXT, format!("{}\n", switch.get()))
    }
}

const LIST: &str =
    "try /status, /metrics, /livez, /readyz, /config, or PUT a level to /log-level\n";
