-- What wrk sends, and what it says when it is done. Arguments: method, path, body file or "-", pause in milliseconds.
-- The request is static, so that wrk formats it once. The last line printed is read by xtask/src/bench/load.rs.

function init(args)
  wrk.method, wrk.path = args[1], args[2]
  wrk.headers["user-agent"] = "wrk/4"
  wrk.headers["accept"] = "application/json"
  wrk.headers["accept-language"] = "en"
  wrk.headers["authorization"] = "Bearer 0123456789abcdef0123456789abcdef"
  if args[3] ~= "-" then
    local file = assert(io.open(args[3], "rb"))
    wrk.body = file:read("*a")
    file:close()
    wrk.headers["content-type"] = "application/json"
  end
  local pause = tonumber(args[4])
  if pause > 0 then
    -- Spread evenly around the pause: with one fixed pause all connections would end up in step.
    delay = function() return math.random(math.floor(pause / 2), math.ceil(pause * 1.5)) end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "result requests=%d micros=%d bytes=%d p50=%d p99=%d p999=%d max=%d errors=%d\n",
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
