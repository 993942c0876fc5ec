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

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::log::Level;
use runtime::metrics::{CONTENT_TYPE, Metrics};
use runtime::shutdown::Stop;
use runtime::worker::{Alarm, Thread};
use slog::{Logger, info};
use tokio::net::TcpListener;

use crate::process::Process;
use crate::{About, ListenError, listen};
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
    inside: Arc<dyn Inside>,
    metrics: Metrics,
    process: Process,
    about: About,
    /// Where it is told that somebody has changed what is logged.
    logger: Logger,
}

impl Pages {
    /// Of a program that says this of itself, counts this, and was started so.
    pub fn new(inside: Arc<dyn Inside>, metrics: Metrics, about: About, logger: Logger) -> Self {
        let process = Process::new(&metrics);
        Pages { inside, metrics, process, about, logger }
    }

    /// Serves until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let pages = Arc::new(self);
        http::serve(listener, move |request| pages.answer(request)).await;
    }

    /// Serves on a thread of its own, so that it answers also while the program starts, stops, or has more
    /// calls than it can serve.
    pub fn open(self, addr: SocketAddr, flag: &'static str) -> Result<Port, OpenError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (listener, addr) = runtime.block_on(listen(addr, flag))?;
        let stop = Stop::new();
        let stopping = stop.stopping();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = self.serve(listener) => {}
                    () = stopping.asked() => {}
                }
            });
        };
        // A panic in it ends the process, as anywhere.
        let thread = Thread::spawn("status", &Alarm::ignored(), serve)?;
        Ok(Port { addr, stop, thread })
    }

    fn answer(&self, request: &Request<'_>) -> Response {
        let response = match request.path {
            "/metrics" => {
                self.inside.measure();
                self.process.measure();
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
                    info!(self.logger, "logging at another level"; "name" => level.as_str());
                }
                Err(error) => return Response::new(400, TEXT, format!("{error}\n")),
            },
            _ => return Response::new(405, TEXT, "only GET and PUT are answered here\n"),
        }
        Response::new(200, TEXT, format!("{}\n", switch.get()))
    }
}

/// A status port that is open.
pub struct Port {
    /// Its address.
    pub addr: SocketAddr,
    stop: Stop,
    thread: Thread,
}

impl Port {
    /// Closes it, and waits until nobody looks at the program any more.
    pub fn close(self) {
        self.stop.ask();
        // A panic in it has been reported already.
        let _ = self.thread.join();
    }
}

/// Why a status port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system refused a thread.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

const LIST: &str =
    "try /status, /metrics, /livez, /readyz, /config, or PUT a level to /log-level\n";
