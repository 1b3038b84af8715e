//! The system calls of a simulated transport, each with its checks.

use super::*;

impl Transport for SimulatedTransport {
    type Registry = Rc<Network>;
    type Pipes = Pipes;
    type Listener = SimulatedListener;
    type Waker = AtomicBool;

    fn wake(waker: &AtomicBool) {
        waker.store(true, Ordering::Relaxed);
    }

    fn register(&mut self, network: &Rc<Network>, token: usize) -> io::Result<()> {
        self.started_ms = network.loop_ms.get();
        if network.lacks_descriptors() && self.random.below(4) == 0 {
            network.shortages.update(|count| count + 1);
            return Err(Errno::NOSPC.into());
        }
        self.tokens[0] = token;
        Ok(())
    }

    fn connect(
        &mut self,
        to: &Picked,
        options: ConnectOptions,
        network: &Rc<Network>,
        token: usize,
    ) -> Result<(), ConnectError> {
        let from = options.source;
        self.call(format_args!("connects to {} from {from:?}", to.host.name));
        self.tokens[1] = token;
        assert!(self.host.is_none(), "leaves a connection open");
        assert!(self.has_read_enough(), "picks a host too early");
        let (skip, client) = self.header();
        self.skip = skip;
        self.most_kept = self.most_kept.max(to.replay);
        if let Some(client) = client {
            self.address = client.into();
        }
        let farm = &network.farm.borrow();
        self.check_source(farm, to, from);
        if self.goes_on_with(to) {
            self.no_port.retain(|id| *id != to.id);
        } else {
            self.check_new_host(farm, to);
        }
        self.attempt = Some(Attempt {
            picked: to.clone(),
            from,
            is_at_unchecked_port: farm.is_unchecked(to),
            since_ms: self.loop_ms,
        });
        match farm.connect(&to.address, from, &mut self.random, self.now_ms) {
            Ok(connect) => {
                let random = &mut self.random;
                let (peer, stream) = (Peer::new(random), random.index(251));
                let room = 1 + random.index(48);
                let mut host = Socket::new(peer, stream, room, connect);
                host.pass(self.now_ms);
                self.host = Some(host);
                Ok(())
            }
            Err(error) => {
                self.finish_attempt(match &error {
                    ConnectError::Local(shortage) if shortage.is_of_address() => AttemptEnd::NoPort,
                    ConnectError::Local(_) => AttemptEnd::NoDescriptor,
                    ConnectError::Host(failure) => AttemptEnd::Failed(failure.clone()),
                    ConnectError::ResetByHost => unreachable!("a host resets what it has accepted"),
                });
                Err(error)
            }
        }
    }

    fn connect_progress(&mut self, connect_hint: bool) -> ConnectProgress {
        self.call(format_args!("checks the connect, hint: {connect_hint}"));
        let host = self.host.as_mut().expect("checks a connect without a host");
        let connect_progress = host.connect_progress(connect_hint);
        match &connect_progress {
            ConnectProgress::Pending => {}
            ConnectProgress::Connected => {
                self.active_ms = self.now_ms;
                let since_ms = self.attempt.as_ref().map(|attempt| attempt.since_ms);
                let took_ms = self.loop_ms - since_ms.expect("is connected twice");
                self.finish_attempt(AttemptEnd::Connected { took_ms });
            }
            ConnectProgress::Failed(ConnectError::Host(failure)) => {
                self.finish_attempt(AttemptEnd::Failed(failure.clone()));
            }
            ConnectProgress::Failed(ConnectError::ResetByHost) => {
                self.finish_attempt(AttemptEnd::ResetByHost);
            }
            ConnectProgress::Failed(ConnectError::Local(_)) => {
                unreachable!("a host has no such trouble")
            }
        }
        connect_progress
    }

    fn asked_address(&self) -> Option<SocketAddr> {
        assert!(!self.group.is_locked(), "holds a lock meanwhile");
        self.address.ip().map(|_| ASKED)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        let picked = self.attempt.as_ref().map(|attempt| &attempt.picked);
        let picked = picked.or(self.connected_to.as_ref());
        let has_address = picked.is_some_and(|picked| picked.address.ip().is_some());
        (self.host.is_some() && has_address).then(|| local_address(self.serial))
    }

    fn drop_host(&mut self) {
        self.call(format_args!("drops its host"));
        let host = self.host.take();
        let Some(attempt) = &self.attempt else {
            if let (Some(host), Some(_)) = (host, &self.connected_to) {
                self.replay(&host);
            }
            return;
        };
        // It has not failed by itself: its time, or the client's, is over.
        let TimeoutsMs { connect, .. } = self.timeouts;
        let passed_ms = |since_ms| self.loop_ms - since_ms;
        if connect > 0 && passed_ms(attempt.since_ms) >= connect {
            self.finish_attempt(AttemptEnd::Failed(Failure::TimedOut));
        } else {
            let has_waited_out = connect > 0 && passed_ms(self.started_ms) >= 3 * connect;
            assert!(has_waited_out, "gives a host up before its time");
            self.finish_attempt(AttemptEnd::Abandoned);
        }
    }

    fn watch_peers(&mut self, times: DeadPeerTimes) {
        self.call(format_args!("watches its peers"));
        assert!(self.host.is_some(), "has no host to watch");
        assert!(!self.watches_peers, "watches them already");
        let due_ms = self.timeouts.watch_peers_ms(self.started_ms);
        assert!(due_ms.is_some_and(|due_ms| self.now_ms >= due_ms));
        self.watches_peers = true;
        self.each_mut().for_each(|socket| socket.watch_peer(times));
    }

    fn take_error(&mut self, side: Side) -> Option<io::Error> {
        self.call(format_args!("asks for the error of the {side:?}"));
        self.at(side).take_error()
    }

    fn deliveries(&self) -> [Option<Delivery>; 2] {
        [
            self.host.as_ref().map(Socket::delivery),
            Some(self.client.delivery()),
        ]
    }

    fn close(&mut self, mode: CloseMode) {
        self.call(format_args!("closes: {mode:?}"));
        assert_eq!(self.closed, None, "closes twice");
        match self.close_mode {
            Some(expected) if expected != CloseMode::OrderlyIfDelivered => {
                assert_eq!(mode, expected);
            }
            // A worker that stops cuts its sessions off; others end as there are bytes on their way.
            _ => assert!(matches!(
                mode,
                CloseMode::Reset | CloseMode::OrderlyIfDelivered
            )),
        }
        let undelivered = self.each().any(|socket| socket.unreceived() > 0);
        let mode = match mode {
            CloseMode::OrderlyIfDelivered if undelivered => CloseMode::Reset,
            CloseMode::OrderlyIfDelivered => {
                for sink in [Side::Client, Side::Host] {
                    assert!(self.has_passed_all(sink), "loses what is on its way");
                }
                CloseMode::Orderly
            }
            mode => mode,
        };
        let by_request = self.close_mode != Some(CloseMode::Orderly);
        self.closed = Some(mode);
        self.counted_pipes = [None, None];
        for socket in self.each_mut() {
            socket.close(mode);
            let holds = match mode {
                // What a peer has sent meanwhile resets it.
                CloseMode::Orderly => socket.was_closed_orderly() || by_request,
                CloseMode::Deliver => !socket.has_lost_bytes(),
                CloseMode::Reset | CloseMode::OrderlyIfDelivered => true,
            };
            assert!(holds, "loses bytes: {mode:?} {socket:#?}");
        }
    }

    fn read(&mut self, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(format_args!("reads from the {side:?}"));
        self.reads += 1;
        assert!(self.reads <= MAX_READS_PER_RUN, "reads for too long");
        let is_first = self.host.is_none() && side == Side::Client && !self.has_read_enough();
        let sink = Direction::from(side).sink();
        assert!(
            is_first || self.has_passed_all(sink),
            "reads while bytes are buffered"
        );
        self.may_be_interrupted()?;
        let length = self.at(side).read(buffer)?;
        if length > 0 {
            self.active_ms = self.now_ms;
        }
        Ok(length)
    }

    fn write(&mut self, side: Side, bytes: &[u8]) -> io::Result<usize> {
        self.call(format_args!("writes {} bytes to the {side:?}", bytes.len()));
        assert!(!bytes.is_empty(), "writes nothing");
        if side == Side::Host {
            self.take_lead(bytes);
        }
        self.check_bytes(side, bytes);
        self.may_be_interrupted()?;
        let before = self.passed(side);
        let length = self.at(side).write(bytes)?;
        self.active_ms = self.now_ms;
        let counted = (self.passed(side) - before) as u64;
        self.bytes[usize::from(side == Side::Client)] += counted;
        Ok(length)
    }

    fn fill_pipe(&mut self, direction: Direction, pipes: &mut Pipes) -> Option<io::Result<usize>> {
        self.call(format_args!(
            "fills a pipe from the {:?}",
            direction.source()
        ));
        self.reads += 1;
        assert!(self.reads <= MAX_READS_PER_RUN, "reads for too long");
        assert!(
            self.has_passed_all(direction.sink()),
            "reads while bytes are buffered"
        );
        let ended = self.at(direction.source()).ended;
        let counted = pipes.0.count_below(PIPES)?;
        // There may be an urgent mark that was not reported.
        if ended && self.random.below(4) == 0 {
            return Some(Ok(0));
        }
        // A sandbox may forbid it, or the system not have it.
        if self.random.below(16) == 0 {
            let error = [Errno::PERM, Errno::INVAL, Errno::NOSYS][self.random.index(3)];
            return Some(Err(error.into()));
        }
        let most = 1 + self.random.index(PIPE);
        let filled = self
            .may_be_interrupted()
            .and_then(|()| self.at(direction.source()).take(most));
        if let Ok(length @ 1..) = filled {
            self.active_ms = self.now_ms;
            self.pipes[direction.index()] = length;
            self.counted_pipes[direction.index()] = Some(counted);
        }
        Some(filled)
    }

    fn drain_pipe(
        &mut self,
        direction: Direction,
        length: usize,
        _: &mut Pipes,
    ) -> io::Result<usize> {
        let place = direction.index();
        assert_eq!(self.pipes[place], length, "forgets what is in the pipe");
        let passed = self.passed(direction.sink());
        let (source, _) = self
            .pair(direction.source())
            .expect("writes without a host");
        let bytes: Vec<u8> = (passed..source.read).map(|at| source.byte(at)).collect();
        assert_eq!(bytes.len(), length, "keeps bytes in two places");
        let sent = self.write(direction.sink(), &bytes)?;
        self.pipes[place] -= sent;
        if sent == length {
            self.counted_pipes[place] = None;
        }
        Ok(sent)
    }

    fn shutdown_write(&mut self, side: Side) -> io::Result<()> {
        self.call(format_args!("ends its half to the {side:?}"));
        let (sink, source) = self.pair(side).expect("shuts down without a host");
        let wants_header = |it: &Picked| side == Side::Host && it.send_proxy.is_some();
        let has_header = !self.lead.is_empty() && sink.wrote >= self.lead.len();
        assert!(has_header || !self.connected_to.as_ref().is_some_and(wants_header));
        assert!(
            source.ended && source.is_read_out() && self.passed(side) == source.said,
            "passes on an end that is not one, or cuts it short"
        );
        if self.half_closes == 0 && !self.broken {
            self.active_ms = self.now_ms;
        }
        self.half_closes += 1;
        self.half_closed_ms = Some(self.now_ms);
        self.at(side).shutdown_write()
    }
}
