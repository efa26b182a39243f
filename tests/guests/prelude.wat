;; What every guest that a test writes begins with: the whole contract's imports, lowered by the canonical ABI; a memory;
;; an allocator; and a few words that make bodies short. A module follows that defines the phases.
;;
;; Memory: 16..128 results of imports, 128..192 results of phases, 192..224 digits, 256..512 the guest's own numbers,
;; 1024..8192 literals, 8192..65536 the text being written, from 65536 on what `cabi_realloc` gave away.

(import "tollgate:filter/exchange@0.1.0" "id" (func $exchange.id (param i32)))
(import "tollgate:filter/exchange@0.1.0" "route" (func $exchange.route (param i32)))
(import "tollgate:filter/exchange@0.1.0" "upstream" (func $exchange.upstream (param i32)))
(import "tollgate:filter/exchange@0.1.0" "provider" (func $exchange.provider (param i32)))
(import "tollgate:filter/exchange@0.1.0" "client-address" (func $exchange.client-address (param i32)))
(import "tollgate:filter/exchange@0.1.0" "remaining-millis" (func $exchange.remaining-millis (result i64)))
(import "tollgate:filter/exchange@0.1.0" "attribute" (func $exchange.attribute (param i32 i32 i32)))
(import "tollgate:filter/exchange@0.1.0" "set-attribute" (func $exchange.set-attribute (param i32 i32 i32 i32)))
(import "tollgate:filter/exchange@0.1.0" "slot" (func $exchange.slot (result i64)))
(import "tollgate:filter/exchange@0.1.0" "set-slot" (func $exchange.set-slot (param i64)))
(import "tollgate:filter/request@0.1.0" "method" (func $request.method (param i32)))
(import "tollgate:filter/request@0.1.0" "authority" (func $request.authority (param i32)))
(import "tollgate:filter/request@0.1.0" "path" (func $request.path (param i32)))
(import "tollgate:filter/request@0.1.0" "set-path" (func $request.set-path (param i32 i32 i32)))
(import "tollgate:filter/request@0.1.0" "header" (func $request.header (param i32 i32 i32)))
(import "tollgate:filter/request@0.1.0" "header-bytes" (func $request.header-bytes (param i32 i32 i32)))
(import "tollgate:filter/request@0.1.0" "header-names" (func $request.header-names (param i32)))
(import "tollgate:filter/request@0.1.0" "set-header" (func $request.set-header (param i32 i32 i32 i32 i32)))
(import "tollgate:filter/request@0.1.0" "append-header" (func $request.append-header (param i32 i32 i32 i32 i32)))
(import "tollgate:filter/request@0.1.0" "remove-header" (func $request.remove-header (param i32 i32 i32)))
(import "tollgate:filter/response@0.1.0" "status" (func $response.status (result i32)))
(import "tollgate:filter/response@0.1.0" "set-status" (func $response.set-status (param i32 i32)))
(import "tollgate:filter/response@0.1.0" "header" (func $response.header (param i32 i32 i32)))
(import "tollgate:filter/response@0.1.0" "header-bytes" (func $response.header-bytes (param i32 i32 i32)))
(import "tollgate:filter/response@0.1.0" "header-names" (func $response.header-names (param i32)))
(import "tollgate:filter/response@0.1.0" "set-header" (func $response.set-header (param i32 i32 i32 i32 i32)))
(import "tollgate:filter/response@0.1.0" "append-header" (func $response.append-header (param i32 i32 i32 i32 i32)))
(import "tollgate:filter/response@0.1.0" "remove-header" (func $response.remove-header (param i32 i32 i32)))
(import "tollgate:filter/body@0.1.0" "size" (func $body.size (result i64)))
(import "tollgate:filter/body@0.1.0" "read" (func $body.read (param i64 i32 i32)))
(import "tollgate:filter/body@0.1.0" "replace" (func $body.replace (param i32 i32)))
(import "tollgate:filter/body@0.1.0" "kind" (func $body.kind (param i32 i32 i32)))
(import "tollgate:filter/body@0.1.0" "text" (func $body.text (param i32 i32 i32)))
(import "tollgate:filter/body@0.1.0" "number" (func $body.number (param i32 i32 i32)))
(import "tollgate:filter/body@0.1.0" "boolean" (func $body.boolean (param i32 i32 i32)))
(import "tollgate:filter/body@0.1.0" "length" (func $body.length (param i32 i32 i32)))
(import "tollgate:filter/body@0.1.0" "keys" (func $body.keys (param i32 i32 i32)))
(import "tollgate:filter/reply@0.1.0" "reject" (func $reply.reject (param i32 i32 i32 i32 i32)))
(import "tollgate:filter/reply@0.1.0" "detail" (func $reply.detail (param i32 i32)))
(import "tollgate:filter/reply@0.1.0" "retry-after" (func $reply.retry-after (param i32)))
(import "tollgate:filter/reply@0.1.0" "set-header" (func $reply.set-header (param i32 i32 i32 i32 i32)))
(import "tollgate:filter/reply@0.1.0" "send" (func $reply.send (param i32 i32 i32 i32 i32)))
(import "tollgate:filter/state@0.1.0" "[static]cell.open" (func $cell.open (param i32 i32) (result i32)))
(import "tollgate:filter/state@0.1.0" "[method]cell.get" (func $cell.get (param i32) (result i64)))
(import "tollgate:filter/state@0.1.0" "[method]cell.set" (func $cell.set (param i32 i64)))
(import "tollgate:filter/state@0.1.0" "[method]cell.add" (func $cell.add (param i32 i64) (result i64)))
(import "tollgate:filter/state@0.1.0" "[method]cell.compare-exchange"
  (func $cell.compare-exchange (param i32 i64 i64) (result i64)))
(import "tollgate:filter/state@0.1.0" "[resource-drop]cell" (func $cell.drop (param i32)))
(import "tollgate:filter/pressure@0.1.0" "read" (func $pressure.read (param i32)))
(import "tollgate:filter/metrics@0.1.0" "[static]counter.open"
  (func $counter.open (param i32 i32 i32 i32 i32 i32) (result i32)))
(import "tollgate:filter/metrics@0.1.0" "[method]counter.add" (func $counter.add (param i32 i64)))
(import "tollgate:filter/metrics@0.1.0" "[resource-drop]counter" (func $counter.drop (param i32)))
(import "tollgate:filter/metrics@0.1.0" "[static]gauge.open"
  (func $gauge.open (param i32 i32 i32 i32 i32 i32) (result i32)))
(import "tollgate:filter/metrics@0.1.0" "[method]gauge.set" (func $gauge.set (param i32 f64)))
(import "tollgate:filter/metrics@0.1.0" "[resource-drop]gauge" (func $gauge.drop (param i32)))
(import "tollgate:filter/health@0.1.0" "report" (func $health.report (param i32 i32 i32 i32 i32)))
(import "tollgate:filter/log@0.1.0" "write" (func $log.write (param i32 i32 i32)))
(import "tollgate:filter/clock@0.1.0" "now-micros" (func $clock.now-micros (result i64)))
(import "tollgate:filter/clock@0.1.0" "unix-millis" (func $clock.unix-millis (result i64)))
(import "tollgate:filter/random@0.1.0" "next" (func $random.next (result i64)))

(memory (export "memory") 2)
(global $heap (mut i32) (i32.const 65536))
(global $written (mut i32) (i32.const 8192))

;; The next `size` bytes at `align`; the memory grows as it must.
(func $allocate (param $align i32) (param $size i32) (result i32)
  (local $place i32) (local $end i32)
  (local.set $place
    (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
             (i32.sub (i32.const 0) (local.get $align))))
  (local.set $end (i32.add (local.get $place) (local.get $size)))
  (if (i32.gt_u (local.get $end) (i32.mul (memory.size) (i32.const 65536)))
    (then
      (if (i32.eq (i32.const -1)
                  (memory.grow (i32.sub (i32.add (i32.const 1) (i32.shr_u (local.get $end) (i32.const 16)))
                                        (memory.size))))
        (then (unreachable)))))
  (global.set $heap (local.get $end))
  (local.get $place))

;; A phase begins: what was given away in the last one is free again, and no text is written yet.
(func $begin
  (global.set $heap (i32.const 65536))
  (global.set $written (i32.const 8192)))

;; Writing a text, piece by piece; `$text` is what was written.
(func $put (param $p i32) (param $n i32)
  (memory.copy (global.get $written) (local.get $p) (local.get $n))
  (global.set $written (i32.add (global.get $written) (local.get $n))))
(func $put-byte (param $byte i32)
  (i32.store8 (global.get $written) (local.get $byte))
  (global.set $written (i32.add (global.get $written) (i32.const 1))))
(func $put-number (param $n i64)
  (local $p i32)
  (if (i64.lt_s (local.get $n) (i64.const 0))
    (then (call $put-byte (i32.const 45)) (local.set $n (i64.sub (i64.const 0) (local.get $n)))))
  (local.set $p (i32.const 224))
  (loop $digit
    (local.set $p (i32.sub (local.get $p) (i32.const 1)))
    (i32.store8 (local.get $p) (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10)))))
    (local.set $n (i64.div_u (local.get $n) (i64.const 10)))
    (br_if $digit (i64.ne (local.get $n) (i64.const 0))))
  (call $put (local.get $p) (i32.sub (i32.const 224) (local.get $p))))
(func $put-int (param $n i32) (call $put-number (i64.extend_i32_s (local.get $n))))
(func $text (result i32 i32) (i32.const 8192) (i32.sub (global.get $written) (i32.const 8192)))
(func $log-text (call $log.write (i32.const 2) (call $text)))
;; The string that an import has left at 16.
(func $put-string (call $put (i32.load (i32.const 16)) (i32.load (i32.const 20))))
;; The optional string there, or a dash.
(func $put-option
  (if (i32.load8_u (i32.const 16))
    (then (call $put (i32.load (i32.const 20)) (i32.load (i32.const 24))))
    (else (call $put-byte (i32.const 45)))))
;; The list of strings there, each followed by a comma.
(func $put-list
  (local $p i32) (local $n i32)
  (local.set $p (i32.load (i32.const 16)))
  (local.set $n (i32.load (i32.const 20)))
  (loop $next
    (if (local.get $n)
      (then
        (call $put (i32.load (local.get $p)) (i32.load offset=4 (local.get $p)))
        (call $put-byte (i32.const 44))
        (local.set $p (i32.add (local.get $p) (i32.const 8)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $next)))))
;; The result<_, header-error> there: `ok`, or the error's number in `header-error`; and a space.
(func $put-edit
  (if (i32.load8_u (i32.const 16))
    (then (call $put-int (i32.load8_u (i32.const 17))))
    (else (call $put-byte (i32.const 111)) (call $put-byte (i32.const 107))))
  (call $put-byte (i32.const 32)))

;; Answers of phases that need memory, made at 128.
(func $variant (param $case i32) (param $one i32) (param $two i32) (result i32)
  (i32.store (i32.const 128) (local.get $case))
  (i32.store (i32.const 132) (local.get $one))
  (i32.store (i32.const 136) (local.get $two))
  (i32.const 128))
(func $retry (param $millis i32) (result i32) (call $variant (i32.const 1) (local.get $millis) (i32.const 0)))
(func $stop (result i32) (call $variant (i32.const 2) (i32.const 0) (i32.const 0)))
(func $replace (param $p i32) (param $n i32) (result i32) (call $variant (i32.const 1) (local.get $p) (local.get $n)))
(func $abort (param $p i32) (param $n i32) (result i32) (call $variant (i32.const 2) (local.get $p) (local.get $n)))
(func $refuse (param $p i32) (param $n i32) (result i32) (call $variant (i32.const 1) (local.get $p) (local.get $n)))

;; `respond`, with everything that was written as the answer.
(func $answer (result i32)
  (call $reply.send (i32.const 200) (i32.const 227) (i32.const 10) (call $text))
  (i32.const 1))
(data (i32.const 227) "text/plain")
