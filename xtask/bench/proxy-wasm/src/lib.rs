//! The benchmark's counterpart for Envoy of `pass-through`: a proxy-wasm filter that, on each request, reads two header
//! fields, sets one and adds 1 to one counter. The counter is the host's, as the shared cell is Tollgate's.

use std::rc::Rc;

use proxy_wasm::hostcalls::{define_metric, increment_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Root { name: Rc::from("x-passed"), counter: 0 }));
}}

/// What one filter of the chain keeps: the field that it sets, which is its configuration, and its counter.
struct Root {
    name: Rc<str>,
    counter: u32,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configured = self.get_plugin_configuration().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(name) = configured {
            self.name = name.into();
        }
        match define_metric(MetricType::Counter, &format!("{}_requests", self.name)) {
            Ok(counter) => {
                self.counter = counter;
                true
            }
            Err(_) => false,
        }
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Passing { name: self.name.clone(), counter: self.counter }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request on its way.
struct Passing {
    name: Rc<str>,
    counter: u32,
}

impl Context for Passing {}

impl HttpContext for Passing {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let agent = self.get_http_request_header("user-agent");
        let accept = self.get_http_request_header("accept");
        let value = if agent.is_some() && accept.is_some() { "both" } else { "some" };
        self.set_http_request_header(&self.name, Some(value));
        // A counter that the host does not know is its mistake, and no reason to stop traffic.
        let _ = increment_metric(self.counter, 1);
        Action::Continue
    }
}
