# Completion of txlb(8) for fish.
# Knows options, verbs and what they take; names of what there is are asked of the running txlb.
# Made by "make generate" from txlb's own tables: not to be changed by hand.

# What the verb takes.
function __txlb_keys
    switch $argv[1]
        case addHost
            echo 'service= group= name= ip= weight= state= backup= each= before='
        case delHost
            echo 'service= group= name= ip= force='
        case delAllHosts
            echo 'service= group= force='
        case setHost
            echo 'service= group= name= ip= weight= backup= each= before= rename= force='
        case setWeight
            echo 'service= group= name= weight= force='
        case drainHost
            echo 'service= group= name= wait= force='
        case hostAdminDown
            echo 'service= group= name= force='
        case hostAdminUp
            echo 'service= group= name='
        case newGroup
            echo 'service= group= scheduler= stickyPrefix= failAfter= slowStart= initial= failOpen= whenFailed= sendProxy= replay= source= mptcp= before='
        case delGroup
            echo 'service= group= force='
        case enableGroup
            echo 'service= group= force='
        case setGroup
            echo 'service= group= scheduler= stickyPrefix= failAfter= slowStart= initial= failOpen= whenFailed= sendProxy= replay= source= mptcp= before='
        case changeScheduler
            echo 'service= group= scheduler= stickyPrefix= before='
        case addCheck
            echo 'service= group= type= interval= downInterval= timeout= rise= fall= port= ip= send= expect= path= status= hostname= log= before='
        case setCheck
            echo 'service= group= check= type= interval= downInterval= timeout= rise= fall= port= ip= send= expect= path= status= hostname= log='
        case delCheck
            echo 'service= group= check='
        case newService
            echo 'service= listen= before='
        case delService
            echo 'service='
        case setService
            echo 'service= connectTimeout= idleTimeout= halfClosedTimeout= keepAlive= unackedTimeout= maxDuration= drainTimeout= endRate= firstBytesTimeout= log= before='
        case addListen
            echo 'service= ip= proxy= proxyFrom= mptcp= interface= mode= before='
        case setListen
            echo 'service= ip= proxy= proxyFrom= mptcp= interface= mode='
        case delListen
            echo 'service= ip='
        case switchPort
            echo 'service= from= to='
        case addRoute
            echo 'service= sni= alpn= group= before= force='
        case setRoute
            echo 'service= route= sni= alpn= group= force='
        case delRoute
            echo 'service= route='
        case addUser
            echo 'name= password= access= key=... before='
        case setUser
            echo 'name= password= access= key=... before='
        case delUser
            echo 'name='
        case setOption
            echo 'name= value='
        case retryHost
            echo 'service= group= name='
        case endSession
            echo 'id='
        case endSessions
            echo 'service= group= host= client= idle= rate= force='
        case rebalance
            echo 'service= group= rate='
        case undo
            echo ' force='
        case saveConfig
            echo 'force='
        case reload
            echo 'force='
        case resign
            echo 'wait='
        case shutdown
            echo 'grace='
        case status
            echo 'service= group= host= problems'
        case sessions
            echo 'service= group= host= client= idle='
        case ready
            echo 'service='
        case config
            echo 'view='
        case complete
            echo 'line='
        case help
            echo 'addHost delHost delAllHosts setHost setWeight drainHost hostAdminDown hostAdminUp newGroup delGroup enableGroup setGroup changeScheduler addCheck setCheck delCheck newService delService setService addListen setListen delListen switchPort addRoute setRoute delRoute addUser setUser delUser setOption retryHost endSession endSessions rebalance undo saveConfig reload resign resume reopenLog upgrade shutdown status sessions ready config diff history complete help'
    end
end

# What may stand behind the equals sign: the argument is VERB.KEY.
function __txlb_values
    switch $argv[1]
        case newGroup.source setGroup.source
            echo 'client'
        case setOption.name
            echo 'config.name config.watch admin admin.web admin.web.listen admin.web.enable admin.web.secure admin.web.refresh admin.web.cert admin.web.key admin.web.names admin.ssh admin.ssh.listen admin.ssh.enable manager.hostCheck.interval manager.hostCheck.enable manager.configCheck.interval manager.configCheck.enable manager.heartbeat.interval manager.heartbeat.enable control control.socket control.amp control.ampSocket control.ampMode logging.file logging.connections logging.format resolver.nameservers'
        case config.view
            echo 'effect running stored'
        case addHost.each setHost.each
            echo 'false true srv'
        case addUser.access setUser.access
            echo 'full readonly'
        case newGroup.whenFailed setGroup.whenFailed
            echo 'keep end'
        case addListen.proxy setListen.proxy
            echo 'off require'
        case newGroup.sendProxy setGroup.sendProxy
            echo 'off v1 v2'
        case newGroup.scheduler setGroup.scheduler changeScheduler.scheduler
            echo 'rand random roundr roundrobin leastc leastconns leastcrr leastconnsrr weightr weighted lweighted weightrr weightlc p2c maglev'
        case addCheck.type setCheck.type
            echo 'tcp send http agent'
        case addHost.backup delHost.force delAllHosts.force setHost.backup setHost.force setWeight.force drainHost.force hostAdminDown.force newGroup.failOpen newGroup.mptcp delGroup.force enableGroup.force setGroup.failOpen setGroup.mptcp addCheck.log setCheck.log setService.log addListen.mptcp setListen.mptcp addRoute.force setRoute.force endSessions.force undo.force saveConfig.force reload.force
            echo 'true false'
        case newGroup.initial setGroup.initial
            echo 'up down'
        case addHost.state
            echo 'up drain down'
    end
end

# Which command it is: ctl, diff, passwd or, if none of these, serve.
function __txlb_command_is
    set -l words (commandline -opc)
    set -l command serve
    contains -- "$words[2]" ctl diff passwd; and set command $words[2]
    test $command = $argv[1]
end

# The verb of "txlb ctl"; fails if there is none yet.
function __txlb_verb
    set -l words (commandline -opc)
    test "$words[2]" = ctl; or return 1
    set -l skip 0
    for word in $words[3..-1]
        if test $skip = 1
            set skip 0
        else if test $word = -C
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
            return 0
        end
    end
    return 1
end

# What a running txlb knows about the end of the line: words that need no quotes, or nothing if
# none answers at once.
function __txlb_live
    set -l words (commandline -opc)
    set -l socket
    set -l at (contains -i -- -C $words); and set socket -C $words[(math $at + 1)]
    # What stands behind the verb, without options.
    set -l from (contains -i -- $argv[1] $words)
    set -l given (string match -v -- '-*' $words[(math $from + 1)..-1])
    set -q socket[2]; and set given (string match -v -- $socket[2] $given)
    set -l line (string join ' ' -- $argv[1] $given (commandline -ct))
    txlb ctl $socket complete "line=$line" 2>/dev/null | string match -v -- '*"*'
end

# Keys with values or a place, behind a verb.
function __txlb_pairs
    set -l verb (__txlb_verb); or return
    set -l word (commandline -ct)
    set -l live (__txlb_live $verb)
    if test (count $live) -gt 0
        printf '%s\n' $live
        return
    end
    if string match -q -- '*=*' $word
        set -l key (string split -m 1 = -- $word)[1]
        for value in (string split -n ' ' -- (__txlb_values $verb.$key))
            echo $key=$value
        end
        return
    end
    set -l given (string replace -r -- '=.*' = (commandline -opc))
    for key in (string split -n ' ' -- (__txlb_keys $verb))
        if string match -q -- '*...' $key; or not contains -- $key $given
            string replace -- ... '' $key
        end
    end
end

complete -c txlb -f
complete -c txlb -n __fish_use_subcommand -a ctl -d 'tell a running txlb something'
complete -c txlb -n __fish_use_subcommand -a diff -d 'print the verbs between two configurations'
complete -c txlb -n __fish_use_subcommand -a passwd -d 'print the hash of a password'

complete -c txlb -n '__txlb_command_is serve' -s D -d 'run in the background, once it listens'
complete -c txlb -n '__txlb_command_is serve' -s f -r -F -d 'the configuration (/etc/txlb/config.xml)'
complete -c txlb -n '__txlb_command_is serve' -s p -r -F -d 'write the process ID there, and lock it'
complete -c txlb -n '__txlb_command_is serve' -s u -x -a '(__fish_complete_users)' -d 'become this user once it listens'
complete -c txlb -n '__txlb_command_is serve' -s g -x -a '(__fish_complete_groups)' -d 'in this group, not the user\'s own'
complete -c txlb -n '__txlb_command_is serve' -s j -x -a '(__fish_complete_directories)' -d 'make this folder the root (chroot)'
complete -c txlb -n '__txlb_command_is serve' -s l -r -F -a syslog -d 'log to this file, or to syslog, not to standard error'
complete -c txlb -n '__txlb_command_is serve' -s w -x -d 'worker threads (one for each processor)'
complete -c txlb -n '__txlb_command_is serve' -l no-sandbox -d 'do not restrict system calls, files and rights'
complete -c txlb -n '__txlb_command_is serve' -s q -d 'log warnings and errors only'
complete -c txlb -n '__txlb_command_is serve' -s v -d 'log more; with -t, say what is looked at'
complete -c txlb -n '__txlb_command_is serve' -s t -d 'check the configuration, then end'
complete -c txlb -n '__txlb_command_is serve' -s T -d 'check it, and print what is in effect'
complete -c txlb -n '__txlb_command_is serve' -l demo -d 'a working balancer over three built-in hosts, loopback only'
complete -c txlb -n '__txlb_command_is serve' -s L -x -d 'no file: listen here'
complete -c txlb -n '__txlb_command_is serve' -s B -x -d 'no file: a host to balance over'
complete -c txlb -n '__txlb_command_is serve' -s S -x -a 'rand random roundr roundrobin leastc leastconns leastcrr leastconnsrr weightr weighted lweighted weightrr weightlc p2c maglev' -d 'no file: how to pick a host (weightlc)'
complete -c txlb -n '__txlb_command_is serve' -s s -x -a 'reload upgrade stop quit reopen pid' -d 'signal the txlb that holds the PID file, or print its process ID'
complete -c txlb -n '__txlb_command_is serve' -s V -l version -d 'print the version; twice, what it was built of, too'
complete -c txlb -n '__txlb_command_is serve' -s h -l help -d 'print this'

complete -c txlb -n '__txlb_command_is ctl' -s C -r -F -d 'ctl: the control socket (/run/txlb/control.sock)'
complete -c txlb -n '__txlb_command_is ctl' -l json -d 'ctl: print data as JSON, on one line'
complete -c txlb -n '__txlb_command_is ctl' -s h -l help -d 'print this'

complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a addHost -d 'add a host to a group'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a delHost -d 'remove a host from its group; its sessions live on'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a delAllHosts -d 'remove all hosts from a group; their sessions live on'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a setHost -d 'change a host\'s address, weight, place or name'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a setWeight -d 'change a host\'s weight'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a drainHost -d 'set a host to drain: no new sessions; wait so many seconds until it is empty'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a hostAdminDown -d 'set a host to down: no new sessions'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a hostAdminUp -d 'set a host to up: it gets new sessions'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a newGroup -d 'add an empty group, not enabled, to a service'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a delGroup -d 'remove a group with its hosts; forced on the enabled one, the next is enabled'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a enableGroup -d 'give new sessions to this group'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a setGroup -d 'change a group\'s attributes or place'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a changeScheduler -d 'change how a group picks hosts, and where it stands'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a addCheck -d 'check the hosts of a group, before or after its other checks'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a setCheck -d 'change a check of a group'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a delCheck -d 'remove a check from a group; the numbers of those after it go down by one'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a newService -d 'add a service with the empty, enabled group main'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a delService -d 'remove a service with all its groups; its sessions live on'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a setService -d 'change a service\'s timeouts or place'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a addListen -d 'add a listener to a service'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a setListen -d 'change a listener; where its socket need not change, it stays open'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a delListen -d 'remove a listener from a service'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a switchPort -d 'move a listener to another port or address'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a addRoute -d 'send TLS clients that ask for a name or a protocol to a group'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a setRoute -d 'change a route of a service'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a delRoute -d 'remove a route from a service; the numbers of those after it go down by one'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a addUser -d 'add a user'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a setUser -d 'change a user\'s password, access, keys or place'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a delUser -d 'remove a user'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a setOption -d 'change anything else in the file; an empty value removes it'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a retryHost -d 'reset a failed host to untried: it gets new sessions'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a endSession -d 'end one session, by its id as sessions shows it'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a endSessions -d 'end the sessions that are selected, at once or so many a second'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a rebalance -d 'end sessions, gradually, of hosts that have more than their share'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a undo -d 'take back the last change, or the one of this number in history'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a saveConfig -d 'write the running configuration to the file'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a reload -d 'read the file again'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a resign -d 'say that nothing is ready, so that clients are sent elsewhere; serve on'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a resume -d 'take resign back'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a reopenLog -d 'reopen the log'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a upgrade -d 'have the program at the same path take over; this process drains'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a shutdown -d 'stop; open sessions have so many seconds to end'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a status -d 'show the status, or a part of it: status web:main, status problems'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a sessions -d 'show the open sessions, or some: sessions web:main/one'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a ready -d 'say whether services can take new sessions; an error if not'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a config -d 'show the running configuration'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a diff -d 'show the changes that are not in the file'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a history -d 'show the last 100 changes, who made them and when'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a complete -d 'show completions of a line: choices for its last word'
complete -c txlb -n '__txlb_command_is ctl; and not __txlb_verb' -a help -d 'show the commands, or what one of them takes'
complete -c txlb -n __txlb_verb -a '(__txlb_pairs)'
complete -c txlb -n '__txlb_command_is diff' -F
