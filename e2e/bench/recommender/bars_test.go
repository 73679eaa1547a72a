package recommender

import (
	"math"
	"testing"

	"k8s.io/utils/ptr"
)

func quality(engine, setting string, ratio, cpu, memory float64) Row {
	return Row{
		Case: caseAll, Engine: engine, Setting: setting, ReservedCost: ratio, UsedCost: 1, CPUViolationRate: ptr.To(cpu), MemoryViolationRate: ptr.To(memory),
	}
}

func TestASettingCountsOnlyWhereNeitherRateIsHigher(t *testing.T) {
	peer := quality(VPA, settingDefault, 2, 0.01, 0.001)
	rows := []Row{
		peer,
		quality(Supercargo, "cheap in memory's stead", 1, 0.005, 0.002),
		quality(Supercargo, "cheap in CPU's stead", 1.1, 0.02, 0),
		quality(Supercargo, "as good", 1.5, 0.01, 0.001),
		quality(Supercargo, "better and dearer", 1.9, 0.002, 0.0001),
	}
	if got, note := atRates(rows, caseAll, peer); math.Abs(got-0.25) > 1e-9 {
		t.Errorf("saves %v (%s), want a quarter", got, note)
	}
	if got, note := atCost(rows, caseAll, peer); math.Abs(got-0.8) > 1e-9 {
		t.Errorf("%v fewer violations (%s), want 80%%", got, note)
	}
	if got, _ := atRates(rows[:3], caseAll, peer); got != 0 {
		t.Errorf("no setting has rates as low, and %v is said to be saved", got)
	}
}

func TestBothEnginesAreMeasuredAtAScale(t *testing.T) {
	for _, s := range []Scale{
		{Engine: Supercargo, Containers: 200, Rounds: 3},
		{Engine: VPA, Containers: 200, Rounds: 3},
		{Engine: Supercargo, Containers: 20, Rounds: 3, Filled: true},
	} {
		row, err := s.Measure()
		if err != nil {
			t.Fatal(err)
		}
		if row.NsPerSample <= 0 || row.ContainersPerSecond <= 0 || row.Containers != s.Containers || (row.RegisterSeconds > 0) == s.Filled {
			t.Errorf("%+v", row)
		}
	}
	if _, err := (Scale{Engine: "nobody", Containers: 10}).Measure(); err == nil {
		t.Error("an engine that there is not was measured")
	}
}

func TestGrowthIsThatOfTheLastDoubling(t *testing.T) {
	rows := []Row{
		{Engine: VPA, Containers: 10, RegisterSeconds: 9},
		{Engine: VPA, Containers: 20, RegisterSeconds: 1},
		{Engine: VPA, Containers: 40, RegisterSeconds: 4},
		{Engine: Supercargo, Containers: 40, RegisterSeconds: 7},
	}
	if got := registerGrowth(rows, VPA); got != 4 {
		t.Errorf("grew %v times, want 4", got)
	}
	if got := registerGrowth(rows, Supercargo); got != 0 {
		t.Errorf("of one scale it is said to have grown %v times", got)
	}
}
