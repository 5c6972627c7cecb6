// The benchmarks, one a file, by the target or the question that each is about.
#pragma once

namespace bench {

void memory_hits();        // P1
void threads_in_memory();  // P2
void disk_hits();          // P3
void puts();               // P4
void batches();            // P5
void touches();            // P6
void evictions();          // P7
void write_behind();       // P8
void opening();            // P9
void footprint();          // P10
void group_commit();       // P11
void pieces();
void key_value_stores();
void durability();
void compression();
void churn();
void write_ahead_log();

}  // namespace bench
