# Completion of txlb(8) for fish.
# Knows options, verbs and what they take; names of what there is are asked of the running txlb.
# @MADE@

# What the verb takes.
function __txlb_keys
    switch $argv[1]
@KEYS@
    end
end

# What may stand behind the equals sign: the argument is VERB.KEY.
function __txlb_values
    switch $argv[1]
@VALUES@
    end
end

# Which command it is: ctl, diff, passwd or, if none of these, serve.
function __txlb_command_is
    set -l words (commandline -opc)
    set -l command serve
    contains -- "$words[2]" @COMMANDS@; and set command $words[2]
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
@COMMAND_LINES@

@OPTIONS@

@CTL_OPTIONS@

@VERBS@
complete -c txlb -n __txlb_verb -a '(__txlb_pairs)'
complete -c txlb -n '__txlb_command_is diff' -F
