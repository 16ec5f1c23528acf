# millrace: `make run` does the main job, `make test` passes the tests; each
# does all of its own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: oracle help build run test test-race test-clients peers bench bench-groups bench-compare bench-paths compare profile limits dash lint fuzz clean

SCENARIO ?= quickstart
KNOB     ?= read.path=sendfile,copy,mmap
ROUNDS   ?= 10
ARGS     ?=
FUZZTIME ?= 10s
SOAKTIME ?= 20m
BENCH    ?= .
BASE     ?= main
COUNT    ?= 8
KAFKA    ?= 4.1.0
TIME     ?= 100ms
BENCHPKG ?= ./batching ./core/wire ./core/group ./diskio ./netio ./core ./harness/load

BIN := bin/millrace
# Nothing is stamped into the binary but what Go itself records.
GO  := CGO_ENABLED=0 go

help: ## this list
	@echo "millrace: a Kafka-protocol broker core and the lab that measures it"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make run SCENARIO=logs ARGS='--set payload.file=/var/log/dpkg.log'"
	@echo "  make compare SCENARIO=fan-out KNOB=net.engine=gnet,goroutine"

need-go:
	@command -v go >/dev/null || { echo "missing: go 1.26 or newer; see https://go.dev/dl" >&2; exit 1; }
need-kcat:
	@.ci/need kcat kcat "the client tests"
need-cc:
	@.ci/need gcc gcc "the race detector"

build: need-go ## the binary, bin/millrace
	@mkdir -p bin
	@$(GO) build -o $(BIN) ./cmd/millrace

run: build ## a scenario, its verdict and report (SCENARIO=quickstart)
	@$(BIN) run $(SCENARIO) $(ARGS)

test: need-go need-kcat need-cc ## every test, then all again with the race detector
	go test ./...
	$(MAKE) --no-print-directory test-race

test-race: need-go need-kcat need-cc
	CGO_ENABLED=1 go test -race -short ./...

test-clients: build need-kcat ## every Kafka client there is, as a table (ONLY=kits RUN=regexp)
	@go run ./core/clients/suite $(if $(LIST),-list) -only '$(ONLY)' -run '$(RUN)'

peers: build ## Apache Kafka, and kfake, to run scenarios on (KAFKA=4.1.0)
	@.ci/need mvn maven "Apache Kafka's jars"
	mvn -q -B -ntp -f core/clients/java/pom.xml -Dkafka.version=$(KAFKA) dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.build/kafka/$(KAFKA)
	@$(GO) build -o .build/peers/kfake ./scenarios/targets/kfake
	@echo "The same scenario, on Apache Kafka and side by side:"
	@echo "  bin/millrace run quickstart --target command:scenarios/targets/kafka.yaml"
	@echo "  bin/millrace compare quickstart --target child \\"
	@echo "    --target command:scenarios/targets/kafka.yaml"

oracle: need-go ## ask Apache Kafka again what it answers (from Maven Central; KAFKA=4.1.0)
	@.ci/need mvn maven "Apache Kafka's jars"
	mvn -q -f core/oracle/pom.xml -Dkafka=$(KAFKA) dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.build/kafka-$(KAFKA)
	core/oracle/record.sh .build/kafka-$(KAFKA)

bench: need-go ## micro and path benchmarks, some minutes (BENCH=regexp TIME=100ms)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(TIME) $(BENCHPKG)

bench-groups: need-go ## groups: settling of 10 and 100 members, a thousand groups that commit
	go test -run '^$$' -bench 'Settle' -benchtime 5x ./core
	go test -run '^$$' -bench 'ThousandGroups|ConsumerProtocolSettle' -benchtime 5x ./core/clients

bench-compare: need-go ## benchmarks of the working tree against BASE=revision (BENCH= COUNT=8)
	@BENCH='$(if $(filter .,$(BENCH)),Path,$(BENCH))' COUNT='$(COUNT)' TIME='$(TIME)' .ci/bench-compare '$(BASE)'

bench-paths: build ## each path on a core of its own, beside what the machine can do (ARGS=)
	@$(BIN) paths $(ARGS)

soak: build ## bad peers for SOAKTIME=20m: latency, memory, descriptors judged
	@$(BIN) soak --time $(SOAKTIME) $(ARGS)

compare: build ## alternatives side by side (SCENARIO= KNOB=name=a,b ROUNDS=)
	@$(BIN) compare $(SCENARIO) --knob '$(KNOB)' --rounds $(ROUNDS) $(ARGS)

profile: build ## a scenario under pprof: top table (SCENARIO=)
	@$(BIN) profile $(SCENARIO) $(ARGS)

limits: build ## what this host can do at most, in bare loops
	@$(BIN) limits $(ARGS)

dash: build ## a page over the past runs
	@$(BIN) dash $(ARGS)

lint: need-go ## vet, staticcheck, gofmt
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "gofmt would change:"; echo "$$bad"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

fuzz: need-go ## every fuzzer for FUZZTIME=10s each
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p || exit 1; \
	  done; done

clean: ## what was built; runs stay
	rm -rf bin .build
