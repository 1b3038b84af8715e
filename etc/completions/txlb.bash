# Completion of txlb(8) for bash.
# Knows options, verbs and what they take; names of what there is are asked of the running txlb.
# Made by "make generate" from txlb's own tables: not to be changed by hand.

# What the option $1 takes: a kind, and words of that kind.
_txlb_argument() {
    case $1 in
        -f) echo 'files' ;;
        -p) echo 'files' ;;
        -u) echo 'users' ;;
        -g) echo 'groups' ;;
        -j) echo 'folders' ;;
        -l) echo 'files syslog' ;;
        -w) echo 'anything' ;;
        -L) echo 'anything' ;;
        -B) echo 'anything' ;;
        -S) echo 'words rand random roundr roundrobin leastc leastconns leastcrr leastconnsrr weightr weighted lweighted weightrr weightlc p2c maglev' ;;
        -s) echo 'words reload upgrade stop quit reopen pid' ;;
        -C) echo 'files' ;;
    esac
}

# What the verb $1 takes.
_txlb_keys() {
    case $1 in
        addHost) echo 'service= group= name= ip= weight= state= backup= each= before=' ;;
        delHost) echo 'service= group= name= ip= force=' ;;
        delAllHosts) echo 'service= group= force=' ;;
        setHost) echo 'service= group= name= ip= weight= backup= each= before= rename= force=' ;;
        setWeight) echo 'service= group= name= weight= force=' ;;
        drainHost) echo 'service= group= name= wait= force=' ;;
        hostAdminDown) echo 'service= group= name= force=' ;;
        hostAdminUp) echo 'service= group= name=' ;;
        newGroup) echo 'service= group= scheduler= stickyPrefix= failAfter= slowStart= initial= failOpen= whenFailed= sendProxy= replay= source= mptcp= before=' ;;
        delGroup) echo 'service= group= force=' ;;
        enableGroup) echo 'service= group= force=' ;;
        setGroup) echo 'service= group= scheduler= stickyPrefix= failAfter= slowStart= initial= failOpen= whenFailed= sendProxy= replay= source= mptcp= before=' ;;
        changeScheduler) echo 'service= group= scheduler= stickyPrefix= before=' ;;
        addCheck) echo 'service= group= type= interval= downInterval= timeout= rise= fall= port= ip= send= expect= path= status= hostname= log= before=' ;;
        setCheck) echo 'service= group= check= type= interval= downInterval= timeout= rise= fall= port= ip= send= expect= path= status= hostname= log=' ;;
        delCheck) echo 'service= group= check=' ;;
        newService) echo 'service= listen= before=' ;;
        delService) echo 'service=' ;;
        setService) echo 'service= connectTimeout= idleTimeout= halfClosedTimeout= keepAlive= unackedTimeout= maxDuration= drainTimeout= endRate= firstBytesTimeout= log= before=' ;;
        addListen) echo 'service= ip= proxy= proxyFrom= mptcp= interface= mode= before=' ;;
        setListen) echo 'service= ip= proxy= proxyFrom= mptcp= interface= mode=' ;;
        delListen) echo 'service= ip=' ;;
        switchPort) echo 'service= from= to=' ;;
        addRoute) echo 'service= sni= alpn= group= before= force=' ;;
        setRoute) echo 'service= route= sni= alpn= group= force=' ;;
        delRoute) echo 'service= route=' ;;
        addUser) echo 'name= password= access= key=... before=' ;;
        setUser) echo 'name= password= access= key=... before=' ;;
        delUser) echo 'name=' ;;
        setOption) echo 'name= value=' ;;
        retryHost) echo 'service= group= name=' ;;
        endSession) echo 'id=' ;;
        endSessions) echo 'service= group= host= client= idle= rate= force=' ;;
        rebalance) echo 'service= group= rate=' ;;
        undo) echo ' force=' ;;
        saveConfig) echo 'force=' ;;
        reload) echo 'force=' ;;
        resign) echo 'wait=' ;;
        shutdown) echo 'grace=' ;;
        status) echo 'service= group= host= problems' ;;
        sessions) echo 'service= group= host= client= idle=' ;;
        ready) echo 'service=' ;;
        config) echo 'view=' ;;
        complete) echo 'line=' ;;
        help) echo 'addHost delHost delAllHosts setHost setWeight drainHost hostAdminDown hostAdminUp newGroup delGroup enableGroup setGroup changeScheduler addCheck setCheck delCheck newService delService setService addListen setListen delListen switchPort addRoute setRoute delRoute addUser setUser delUser setOption retryHost endSession endSessions rebalance undo saveConfig reload resign resume reopenLog upgrade shutdown status sessions ready config diff history complete help' ;;
    esac
}

# What may stand behind the equals sign: $1 is VERB.KEY.
_txlb_values() {
    case $1 in
        newGroup.source | setGroup.source) echo 'client' ;;
        setOption.name) echo 'config.name config.watch admin admin.web admin.web.listen admin.web.enable admin.web.secure admin.web.refresh admin.web.cert admin.web.key admin.web.names admin.ssh admin.ssh.listen admin.ssh.enable manager.hostCheck.interval manager.hostCheck.enable manager.configCheck.interval manager.configCheck.enable manager.heartbeat.interval manager.heartbeat.enable control control.socket control.amp control.ampSocket control.ampMode logging.file logging.connections logging.format resolver.nameservers' ;;
        config.view) echo 'effect running stored' ;;
        addHost.each | setHost.each) echo 'false true srv' ;;
        addUser.access | setUser.access) echo 'full readonly' ;;
        newGroup.whenFailed | setGroup.whenFailed) echo 'keep end' ;;
        addListen.proxy | setListen.proxy) echo 'off require' ;;
        newGroup.sendProxy | setGroup.sendProxy) echo 'off v1 v2' ;;
        newGroup.scheduler | setGroup.scheduler | changeScheduler.scheduler) echo 'rand random roundr roundrobin leastc leastconns leastcrr leastconnsrr weightr weighted lweighted weightrr weightlc p2c maglev' ;;
        addCheck.type | setCheck.type) echo 'tcp send http agent' ;;
        addHost.backup | delHost.force | delAllHosts.force | setHost.backup | setHost.force | setWeight.force | drainHost.force | hostAdminDown.force | newGroup.failOpen | newGroup.mptcp | delGroup.force | enableGroup.force | setGroup.failOpen | setGroup.mptcp | addCheck.log | setCheck.log | setService.log | addListen.mptcp | setListen.mptcp | addRoute.force | setRoute.force | endSessions.force | undo.force | saveConfig.force | reload.force) echo 'true false' ;;
        newGroup.initial | setGroup.initial) echo 'up down' ;;
        addHost.state) echo 'up drain down' ;;
    esac
}

_txlb_from() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

# Completes $2, the argument of the option $1; fails if that takes none.
_txlb_complete_argument() {
    local kind
    kind=$(_txlb_argument "$1")
    case $kind in
        '') return 1 ;;
        files*)
            # With words that may stand in the place of one.
            mapfile -t COMPREPLY < <(compgen -f -W "${kind#files}" -- "$2") && compopt -o filenames
            ;;
        folders) mapfile -t COMPREPLY < <(compgen -d -- "$2") && compopt -o filenames ;;
        users) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
        groups) mapfile -t COMPREPLY < <(compgen -g -- "$2") ;;
        words\ *) _txlb_from "${kind#words }" "$2" ;;
    esac
    return 0
}

# What a running txlb knows about the end of the line $2, by the control socket $1: words that
# need no quotes, or nothing if none answers at once.
_txlb_live() {
    local socket=() word
    [ -z "$1" ] || socket=(-C "$1")
    while read -r word; do
        [[ $word == *\"* ]] || echo "$word"
    done < <(txlb ctl "${socket[@]}" complete "line=$2" 2>/dev/null)
}

# What "txlb ctl" takes: a verb, then keys with values or a place, and options anywhere.
_txlb_ctl() {
    local cur=$1 verb='' given='' rest='' socket='' key word live
    shift
    while [ $# -gt 0 ]; do
        if [ "$1" = -C ]; then
            socket=${2-}
            shift
        elif [[ $1 == -* ]]; then
            :
        elif [ -n "$verb" ]; then
            given+=" ${1%%=*}="
            rest+=" $1"
        else
            verb=$1
        fi
        shift
    done
    if [[ $cur == -* ]]; then
        _txlb_from '-C --json -h --help' "$cur"
        return
    elif [ -z "$verb" ]; then
        _txlb_from 'addHost delHost delAllHosts setHost setWeight drainHost hostAdminDown hostAdminUp newGroup delGroup enableGroup setGroup changeScheduler addCheck setCheck delCheck newService delService setService addListen setListen delListen switchPort addRoute setRoute delRoute addUser setUser delUser setOption retryHost endSession endSessions rebalance undo saveConfig reload resign resume reopenLog upgrade shutdown status sessions ready config diff history complete help' "$cur"
        return
    fi
    live=$(_txlb_live "$socket" "$verb$rest $cur")
    if [[ $cur == *=* ]]; then
        key=${cur%%=*}
        if [ -n "$live" ]; then
            _txlb_from "$(for word in $live; do echo "${word#*=}"; done)" "${cur#*=}"
        else
            _txlb_from "$(_txlb_values "$verb.$key")" "${cur#*=}"
        fi
        # Readline has the word begin behind the sign, unless it was told otherwise.
        [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/$key=}")
    elif [ -n "$live" ]; then
        _txlb_from "$live" "$cur"
    else
        _txlb_from "$(for word in $(_txlb_keys "$verb"); do
            [[ "$given " == *" ${word%...} "* && $word != *... ]] || echo "${word%...}"
        done)" "$cur"
    fi
    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
    # Behind a colon, too.
    if [[ $COMP_WORDBREAKS == *:* && $cur == *:* ]]; then
        cur=${cur#*=}
        COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
    fi
}

_txlb() {
    local words=() cur='' prev
    # Readline takes words apart at colons and equals signs: these are whole.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    if [[ ${COMP_LINE:0:COMP_POINT} != *[[:blank:]] ]]; then
        cur=${words[${#words[@]} - 1]}
        unset "words[${#words[@]}-1]"
    fi
    prev=${words[${#words[@]} - 1]}
    COMPREPLY=()
    if [ "${#words[@]}" -gt 1 ] && _txlb_complete_argument "$prev" "$cur"; then return; fi
    case ${words[1]-} in
        ctl) _txlb_ctl "$cur" "${words[@]:2}" ;;
        diff) _txlb_complete_argument -f "$cur" ;;
        passwd) ;;
        '') _txlb_from 'ctl diff passwd -D -f -p -u -g -j -l -w --no-sandbox -q -v -t -T --demo -L -B -S -s -V --version -h --help' "$cur" ;;
        *) _txlb_from '-D -f -p -u -g -j -l -w --no-sandbox -q -v -t -T --demo -L -B -S -s -V --version -h --help' "$cur" ;;
    esac
}

complete -F _txlb txlb
