;; What a guest does when the request's field `x-fault` names the phase that it is in. The field's value is the phase's
;; digit and the fault's letter: `3t` traps in phase 3.
(func $misbehave (param $phase i32)
  (local $fault i32)
  (call $request.header "x-fault" (i32.const 16))
  (if (i32.eqz (i32.load8_u (i32.const 16))) (then (return)))
  (if (i32.ne (i32.load8_u (i32.load (i32.const 20))) (local.get $phase)) (then (return)))
  (local.set $fault (i32.load8_u offset=1 (i32.load (i32.const 20))))
  ;; t: a trap
  (if (i32.eq (local.get $fault) (i32.const 116)) (then (unreachable)))
  ;; l: an endless loop
  (if (i32.eq (local.get $fault) (i32.const 108)) (then (loop $ever (br $ever))))
  ;; h: an endless loop of calls to the host
  (if (i32.eq (local.get $fault) (i32.const 104))
    (then (loop $ever (call $exchange.set-slot (call $clock.now-micros)) (br $ever))))
  ;; m: memory without end
  (if (i32.eq (local.get $fault) (i32.const 109))
    (then (loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) (unreachable)))
  ;; s: a stack without end
  (if (i32.eq (local.get $fault) (i32.const 115)) (then (call $deeper (i32.const 0)))))
(func $deeper (param $depth i32)
  (call $deeper (i32.add (local.get $depth) (i32.const 1)))
  (i32.store (i32.const 288) (local.get $depth)))
